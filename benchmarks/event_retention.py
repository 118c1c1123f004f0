"""Measure what others notice while ten million events of one day, which are too old, are removed."""

import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Final, cast

from benchmarks.event_log import replace_events
from benchmarks.figures import percentile
from benchmarks.stack import Stack
from benchmarks.suite import Options, Result, Row, progress
from core import db
from core.jobs import JobContext
from core.services import event_partitions

_EVENTS: Final = 10_000_000
_EVENTS_AT_ONCE: Final = 500_000
_DAYS_AGO: Final = 20
_RETENTION_DAYS: Final = 7
_PAUSE_SECONDS: Final = 0.005

_LOAD: Final = """
INSERT INTO events (seq, type, task_id, actor_id, audience, data, at)
SELECT n, 'task.updated', n %% 1000, 1, '{1}', '{"title": "Clean the gutters before the rain comes."}',
       date_trunc('day', now()) - make_interval(days => %(days_ago)s) + n * interval '1 ms'
FROM generate_series(%(first)s, %(last)s) n
"""
_LOADED: Final = "UPDATE event_log_state SET last_seq = %(last)s, jobs_seq = %(last)s"
_CHANGE: Final = """
INSERT INTO events (seq, type, audience, data)
VALUES ((SELECT last_seq + 1 FROM event_log_state), 'task.updated', '{1}', '{}');
UPDATE event_log_state SET last_seq = last_seq + 1
"""
_READ: Final = """
SELECT seq, type, data::text FROM events WHERE seq > (SELECT last_seq - 20 FROM event_log_state) ORDER BY seq
"""
_SIZE: Final = (
    "SELECT sum(pg_total_relation_size(inhrelid))::bigint FROM pg_inherits WHERE inhparent = 'events'::regclass"
)


def run(stack: Stack, options: Options) -> Result:
    """Measure new events and reads of the newest, once while nothing else happens and once while the day is purged."""
    user = stack.add_user("changer")
    replace_events(user.actor.user_id, [_DAYS_AGO])
    count = options.scaled(_EVENTS)
    seconds = _load(count)
    size = db.read(_SIZE).fetch_value()
    # The job uses nothing but this setting of its context.
    context = cast("JobContext", SimpleNamespace(settings=SimpleNamespace(event_retention_days=_RETENTION_DAYS)))

    def purge() -> None:
        if not event_partitions.purge_events(context):
            raise RuntimeError("No partition was dropped.")

    taken = options.rounds * options.seconds
    return Result(
        tables={
            "latencies": [_measured("nothing", taken, lambda: None), _measured("the purge", taken, purge)],
            "log": [{"events": f"{count:,}", "seconds to load them by SQL": seconds, "MiB with indexes": size / 2**20}],
        }
    )


def _load(count: int) -> float:
    """Replace all events by old ones, all of one day; returns how many seconds it took."""
    started = time.monotonic()
    with db.unit_of_work():
        db.write("DELETE FROM events")
    for first in range(1, count + 1, _EVENTS_AT_ONCE):
        last = min(first + _EVENTS_AT_ONCE - 1, count)
        with db.unit_of_work():
            db.write(_LOAD, {"first": first, "last": last, "days_ago": _DAYS_AGO})
        progress(f"event_retention: {last:,} of {count:,} events loaded")
    with db.unit_of_work():
        db.write(_LOADED, {"last": count})
        db.write("ANALYZE events")
    return time.monotonic() - started


def _measured(meanwhile: str, seconds: float, action: Callable[[], None]) -> Row:
    """Measure for some seconds; in their middle the action is done."""
    progress(f"event_retention: measuring for {seconds:g} seconds, meanwhile {meanwhile}")
    stop = threading.Event()
    measured: list[float] = []
    thread = threading.Thread(target=_change_and_read, args=(stop, measured))
    thread.start()
    try:
        time.sleep(seconds / 2)
        started = time.perf_counter()
        action()
        taken = (time.perf_counter() - started) * 1000
        time.sleep(seconds / 2)
    finally:
        stop.set()
        thread.join()
    return {
        "ms to insert an event and read the newest": meanwhile,
        "p50": percentile(measured, 50),
        "p99": percentile(measured, 99),
        "longest": max(measured),
        "ms of the purge": taken if meanwhile == "the purge" else "",
    }


def _change_and_read(stop: threading.Event, measured: list[float]) -> None:
    """Insert an event and read the newest, again and again, and note the milliseconds of each time."""
    while not stop.wait(_PAUSE_SECONDS):
        started = time.perf_counter()
        with db.unit_of_work():
            db.write(_CHANGE)
        db.read(_READ).fetch_all()
        measured.append((time.perf_counter() - started) * 1000)
    db.disconnect()
