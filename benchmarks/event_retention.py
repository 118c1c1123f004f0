"""Measure what others notice while ten million old events are removed. See README.md."""

import argparse
import json
import logging
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psycopg2
import structlog

from core import db
from core.config import Settings
from core.jobs import JobContext
from core.local.embedded.servers import EmbeddedPostgres
from core.migrations import migrate
from core.services import event_partitions

_EVENTS = """
INSERT INTO events (seq, type, task_id, actor_id, audience, data, at)
SELECT n, 'task.updated', n %% 1000, 1, '{1}', '{"title": "Clean the gutters before the rain comes."}',
       date_trunc('day', now()) - interval '20 days' + n * interval '1 ms'
FROM generate_series(%(first)s, %(last)s) n
"""
_CHANGE = """
INSERT INTO events (seq, type, audience, data)
VALUES ((SELECT last_seq + 1 FROM event_log_state), 'task.updated', '{1}', '{}');
UPDATE event_log_state SET last_seq = last_seq + 1
"""
_READ = "SELECT seq, type, data::text FROM events WHERE seq > (SELECT last_seq - 20 FROM event_log_state) ORDER BY seq"
_PART = 500_000


def prepare(cursor: Any) -> None:
    """Put an event of the old day into the default partition, so that the day gets a partition."""
    cursor.execute("DROP TABLE events_before")
    cursor.execute("INSERT INTO events (type, audience, data, at) VALUES ('x', '{}', '{}', now() - interval '20 days')")


def load(cursor: Any, count: int) -> None:
    """Insert old events, all of one day."""
    for first in range(1, count + 1, _PART):
        cursor.execute(_EVENTS, {"first": first, "last": min(first + _PART - 1, count)})
    cursor.execute("UPDATE event_log_state SET last_seq = %(last)s, jobs_seq = %(last)s", {"last": count})


def latencies(url: str, stop: threading.Event) -> list[float]:
    """Insert an event and read the newest, again and again; returns the milliseconds of each time."""
    measured = []
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        while not stop.wait(0.005):
            start = time.perf_counter()
            cursor.execute(_CHANGE)
            cursor.execute(_READ)
            measured.append((time.perf_counter() - start) * 1000)
    return sorted(measured)


def during(url: str, seconds: float, action: Any = None) -> dict[str, float]:
    """Measure the latency for some seconds, in the middle of which `action` is done."""
    stop = threading.Event()
    measured: list[float] = []
    thread = threading.Thread(target=lambda: measured.extend(latencies(url, stop)))
    thread.start()
    time.sleep(seconds / 2)
    start = time.perf_counter()
    if action is not None:
        action()
    taken = (time.perf_counter() - start) * 1000
    time.sleep(seconds / 2)
    stop.set()
    thread.join()
    result = {f"p{part}_ms": measured[len(measured) * part // 100] for part in (50, 99)}
    return result | {"longest_ms": measured[-1], "purge_ms": taken}


def main() -> None:
    """Load, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long each of the two measurements takes")
    parser.add_argument("--json", type=Path, help="the file for the figures")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with (
        tempfile.TemporaryDirectory(prefix="allweather-bench-") as directory,
        EmbeddedPostgres(Path(directory) / "postgres") as postgres,
    ):
        migrate(postgres.url)
        db.configure(postgres.url, application="bench", statement_seconds=600)
        environ = {"DATABASE_URL": postgres.url, "REDIS_URL": "redis://", "SECRET_KEY": "x" * 40}
        # Retention uses nothing but the settings of its context.
        context = cast("JobContext", SimpleNamespace(settings=Settings.from_environ(environ)))
        with closing(psycopg2.connect(postgres.url)) as connection:
            connection.autocommit = True
            cursor = connection.cursor()
            prepare(cursor)
            event_partitions.make_partitions(context)
            cursor.execute("DELETE FROM events")
            start = time.perf_counter()
            load(cursor, options.events)
            print(f"loaded {options.events:,} events in {time.perf_counter() - start:.0f} s", flush=True)
            cursor.execute("ANALYZE")
            cursor.execute("SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits")
            size = cursor.fetchone()[0]
        results: dict[str, Any] = {"events": options.events, "size_mb": float(size) / 2**20}
        results["without"] = during(postgres.url, options.seconds)
        results["with"] = during(postgres.url, options.seconds, lambda: event_partitions.purge_events(context))
    for name in ("without", "with"):
        print(f"{name:8}", "  ".join(f"{key} {value:,.2f}" for key, value in results[name].items()))
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
