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
from core.services.weather_calls import uses_of_today
from core.waiting_jobs import MOST_COUNTED, late_work

log = structlog.get_logger()

WORK: Final[Mapping[str, WaitingWork[str] | WaitingWork[int]]] = {
    "weather": weather.WAITING,
    "notification_mail": mail.WAITING,
    "account_mail": account_mails.WAITING,
}
"""The kinds of work that is tried again until it is done, by the names that metrics have for them."""

DUE_WORK: Final[Mapping[str, str]] = {
    "reminder": jobs.REMINDERS_FIRE.name,
    "forecast": jobs.FORECASTS_REFRESH.name,
    "judgement": jobs.WEATHER_JUDGE.name,
}
"""The kinds of work that waits for nothing but its job, by the names that metrics have for them, with their jobs."""

BACKLOG_METRICS: Final[Mapping[str, tuple[str, ...]]] = {
    "allweather_events_unpublished": (),
    "allweather_events_unpublished_oldest_seconds": (),
    "allweather_queue_messages": ("queue",),
    "allweather_work_waiting": ("work",),
    "allweather_work_late_seconds": ("work",),
    "allweather_analytics_unfolded": (),
    "allweather_provider_calls_used_ratio": ("provider",),
    "allweather_provider_searches_used_ratio": ("provider",),
    "allweather_provider_calls_stopped": ("provider",),
}
"""The names of the metrics, with their labels."""

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
    return Backlog(*late_work(jobs.EVENTS_PUBLISH.name))


def due_work(name: str) -> Backlog:
    """Return the work of a kind of `DUE_WORK` that is due and not done."""
    return Backlog(*late_work(DUE_WORK[name]))


def waiting_work(work: WaitingWork[str] | WaitingWork[int]) -> Backlog:
    """Return the work of a kind that is not done and not given up."""
    waiting, seconds = read(waiting_statement(work), {"most": MOST_COUNTED}).fetch_exactly_one()
    return Backlog(int(waiting), float(seconds))


def waiting_statement(work: WaitingWork[str] | WaitingWork[int]) -> str:
    """Return the statement that counts the work of a kind; its parameter `most` is where the counting stops."""
    return _WAITING.format(table=work.table, prefix=work.prefix)


def unfolded_changes() -> int:
    """Return how many changes are not in the figures yet, up to `MOST_COUNTED`. The figures are exact nevertheless."""
    return int(read(_UNFOLDED).fetch_value())


class BacklogMetrics(Collector):
    """The backlog as metrics. What cannot be read is left out of this scrape, and the rest is there.

    Only one process of an installation should look all of this up: `is_wanted` returns whether it is this one.
    """

    def __init__(self, queue_length: Callable[[str], int], calls_per_day: int, is_wanted: Callable[[], bool]) -> None:
        self._calls_per_day = calls_per_day
        self._queue_length = queue_length
        self._is_wanted = is_wanted
        self._one_at_a_time = threading.Lock()

    def collect(self) -> Iterable[Metric]:
        """Read the backlog, and return it as metrics."""
        if not self._is_wanted():
            return
        with self._one_at_a_time:
            for part in (self._events, self._queues, self._work, self._figures, self._provider):
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
        found = {name: waiting_work(work) for name, work in WORK.items()}
        found |= {name: due_work(name) for name in DUE_WORK}
        for name, backlog in found.items():
            waiting.add_metric((name,), backlog.waiting)
            late.add_metric((name,), backlog.oldest_seconds)
        yield from (waiting, late)

    def _figures(self) -> Iterable[Metric]:
        yield GaugeMetricFamily(
            "allweather_analytics_unfolded", "Changes that are not in the figures yet.", unfolded_changes()
        )

    def _provider(self) -> Iterable[Metric]:
        calls = GaugeMetricFamily(
            "allweather_provider_calls_used_ratio",
            "The share of the calls of this day (UTC) that are used up; 1 is all.",
            labels=("provider",),
        )
        searches = GaugeMetricFamily(
            "allweather_provider_searches_used_ratio",
            "The same for the share that the searches of people have.",
            labels=("provider",),
        )
        stopped = GaugeMetricFamily(
            "allweather_provider_calls_stopped",
            "1 if the provider has failed, and is called rarely or not at all.",
            labels=("provider",),
        )
        for use in uses_of_today(self._calls_per_day):
            calls.add_metric((use.provider,), use.calls)
            searches.add_metric((use.provider,), use.searches)
            stopped.add_metric((use.provider,), use.is_stopped)
        yield from (calls, searches, stopped)
