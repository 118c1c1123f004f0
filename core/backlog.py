"""How much work waits, and how long it has waited: numbers that stand in PostgreSQL and Redis.

Each function is one cheap statement that uses an index of the work that waits.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import structlog
from peewee import PeeweeException
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from redis.exceptions import RedisError

from core import db, jobs
from core.db import read
from core.retries import WaitingWork
from core.services import account_mails, mail, weather

log = structlog.get_logger()

WORK: Final[Mapping[str, WaitingWork[str] | WaitingWork[int]]] = {
    "weather": weather.WAITING,
    "notification_mail": mail.WAITING,
    "account_mail": account_mails.WAITING,
}
"""The kinds of work that is tried again until it is done, by the names that metrics have for them."""

BACKLOG_METRICS: Final[Mapping[str, tuple[str, ...]]] = {
    "allweather_events_unpublished": (),
    "allweather_events_unpublished_oldest_seconds": (),
    "allweather_queue_messages": ("queue",),
    "allweather_work_waiting": ("work",),
    "allweather_work_late_seconds": ("work",),
    "allweather_analytics_unfolded": (),
}
"""The names of the metrics, with their labels."""

# Counting stops here, so that a large backlog does not make a scrape slow.
MOST_COUNTED: Final = 100_000

_UNPUBLISHED: Final = f"""
SELECT count(*), coalesce(extract(epoch FROM now() - min(at)), 0)
FROM (SELECT at FROM events WHERE seq IS NULL ORDER BY id LIMIT {MOST_COUNTED}) unpublished
"""

_REMINDERS: Final = f"""
SELECT count(*), coalesce(extract(epoch FROM now() - min(fires_at)), 0) FROM (
    SELECT fires_at FROM reminders WHERE fired_at IS NULL AND fires_at <= now() ORDER BY fires_at LIMIT {MOST_COUNTED}
) due
"""

_UNFOLDED: Final = f"SELECT count(*) FROM (SELECT FROM analytics_deltas LIMIT {MOST_COUNTED}) deltas"

# `waiting` counts all work that is to be done, also what waits for its next attempt. Only what is due is late.
_WAITING: Final = """
SELECT (SELECT count(*) FROM (SELECT FROM {table} WHERE {prefix}_status = 'pending' LIMIT %(most)s) waiting),
    coalesce((SELECT greatest(extract(epoch FROM now() - min({prefix}_next_attempt_at)), 0)
              FROM {table} WHERE {prefix}_status = 'pending'), 0)
"""


@dataclass(frozen=True, slots=True)
class Backlog:
    """How much waits, counted up to `MOST_COUNTED`, and by how many seconds the oldest of it is late; 0 if none is."""

    waiting: int
    oldest_seconds: float


def unpublished_events() -> Backlog:
    """Return the events that no listener can have got, because they have no number yet."""
    return _backlog(_UNPUBLISHED)


def due_reminders() -> Backlog:
    """Return the reminders that are due and were not fired."""
    return _backlog(_REMINDERS)


def waiting_work(work: WaitingWork[str] | WaitingWork[int]) -> Backlog:
    """Return the work of a kind that is not done and not given up."""
    return _backlog(waiting_statement(work))


def waiting_statement(work: WaitingWork[str] | WaitingWork[int]) -> str:
    """Return the statement that counts the work of a kind; its parameter `most` is where the counting stops."""
    return _WAITING.format(table=work.table, prefix=work.prefix)


def unfolded_changes() -> int:
    """Return how many changes are not in the figures yet, up to `MOST_COUNTED`. The figures are exact nevertheless."""
    return int(read(_UNFOLDED).fetch_value())


def _backlog(statement: str) -> Backlog:
    waiting, seconds = read(statement, {"most": MOST_COUNTED}).fetch_exactly_one()
    return Backlog(int(waiting), float(seconds))


class BacklogMetrics(Collector):
    """The backlog as metrics. What cannot be read is left out of this scrape, and the rest is there.

    Only one process of an installation should look all of this up: `is_wanted` returns whether it is this one.
    """

    def __init__(self, queue_length: Callable[[str], int], is_wanted: Callable[[], bool]) -> None:
        self._queue_length = queue_length
        self._is_wanted = is_wanted
        self._one_at_a_time = threading.Lock()

    def collect(self) -> Iterable[Metric]:
        """Read the backlog, and return it as metrics."""
        if not self._is_wanted():
            return
        with self._one_at_a_time:
            for part in (self._events, self._queues, self._work, self._figures):
                try:
                    yield from part()
                except (PeeweeException, RedisError) as error:
                    log.warning("backlog_unknown", reason=type(error).__name__)
            # Each scrape has a thread of its own, and a connection belongs to its thread.
            db.disconnect()

    def _events(self) -> Iterable[Metric]:
        unpublished = unpublished_events()
        yield GaugeMetricFamily(
            "allweather_events_unpublished", "Events that wait for publication.", unpublished.waiting
        )
        yield GaugeMetricFamily(
            "allweather_events_unpublished_oldest_seconds",
            "The age of the oldest event that waits for publication; 0 if none does.",
            unpublished.oldest_seconds,
        )

    def _queues(self) -> Iterable[Metric]:
        family = GaugeMetricFamily("allweather_queue_messages", "Jobs that wait for a worker.", labels=("queue",))
        for queue in sorted(jobs.QUEUES):
            family.add_metric((queue,), self._queue_length(queue))
        yield family

    def _work(self) -> Iterable[Metric]:
        waiting = GaugeMetricFamily("allweather_work_waiting", "Work that is still to be done.", labels=("work",))
        late = GaugeMetricFamily(
            "allweather_work_late_seconds", "By how much the oldest work that is due is late.", labels=("work",)
        )
        found = {name: waiting_work(work) for name, work in WORK.items()} | {"reminder": due_reminders()}
        for name, backlog in found.items():
            waiting.add_metric((name,), backlog.waiting)
            late.add_metric((name,), backlog.oldest_seconds)
        yield from (waiting, late)

    def _figures(self) -> Iterable[Metric]:
        yield GaugeMetricFamily(
            "allweather_analytics_unfolded", "Changes that are not in the figures yet.", unfolded_changes()
        )
