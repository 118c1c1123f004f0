"""The numbers that show whether an installation is well, each with its limits and what to do beyond them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

from core import jobs
from core.activity import EVICTED, OVERLOADED, PUBLISHED, RATE_LIMITED, percentile
from core.config import Settings
from core.db import read
from core.messages import Message, msg
from core.services.processes import SILENT_SECONDS
from core.services.weather_calls import searches_per_day
from core.waiting_jobs import DUE

State = Literal["ok", "warn", "bad"]
Unit = Literal["count", "per_minute", "seconds", "milliseconds", "bytes", "percent"]
Values = dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Runbook:
    """What to do: the heading in docs/operations.md that explains it, as it stands in its address, and one sentence."""

    anchor: str
    advice: Message


@dataclass(frozen=True, slots=True)
class Measure:
    """A number: above `warn` or `bad`, or below `least`, its state is not ok, and `runbook` says what to do."""

    name: str
    unit: Unit = "count"
    runbook: Runbook | None = None
    warn: float = float("inf")
    bad: float = float("inf")
    least: float = float("-inf")

    def state(self, value: float | None) -> State:
        """Return the state of a value. A value that is not known is ok: another measure says why it is not known."""
        if value is None:
            return "ok"
        if value > self.bad or value < self.least:
            return "bad"
        return "warn" if value > self.warn else "ok"


@dataclass(frozen=True, slots=True)
class Queue:
    """How many jobs wait in a queue, and how long the oldest one has waited; None if none waits, or it does not say."""

    name: str
    length: int
    oldest_seconds: float | None


_WORKER: Final = Runbook("a-worker", msg("No worker runs. Start one; it does the work that waits."))
_BEAT: Final = Runbook("beat", msg("Beat does not run. Start it; reminders and lost messages wait for it."))
_REDIS: Final = Runbook("redis", msg("Redis cannot be reached. Start it again; committed changes are not lost."))
_PUBLISHING: Final = Runbook(
    "a-worker", msg("Changes wait to be published. See whether a worker runs and reaches PostgreSQL and Redis.")
)
_BACKLOG: Final = Runbook("scaling", msg("Jobs wait for too long. Start more workers, or give them more processes."))
_FAILED_JOBS: Final = Runbook("logs", msg("Jobs fail. Look for their names in the log, with the reason."))
_FAILED_REQUESTS: Final = Runbook(
    "logs", msg("Requests fail. Look in the log for unhandled_exception and database_unavailable.")
)
_OVERLOAD: Final = Runbook(
    "too-many-requests",
    msg("Processes refuse requests because they have too much to do. Start more, or find out who sends so much."),
)
_WEATHER: Final = Runbook(
    "the-weather-provider", msg("Weather was given up. When the provider responds again, try the failed work again.")
)
_MAIL: Final = Runbook("the-mail-server", msg("Mails were given up. Remove the cause, then try the failed work again."))
_CAP: Final = Runbook("mails-that-are-capped", msg("The mails of this hour are nearly used up. See who causes them."))
_CALLS: Final = Runbook(
    "the-weather-provider",
    msg("The calls of the weather provider are nearly used up for this day. See whether its contract allows more."),
)
_STOPPED: Final = Runbook(
    "the-weather-provider", msg("The weather provider fails, so it is called rarely. Look for the reason in the log.")
)
_FORECASTS: Final = Runbook(
    "the-weather-provider", msg("Forecasts are too old. See whether the weather provider responds and has calls left.")
)
_JUDGING: Final = Runbook(
    "beat", msg("Tasks wait to be compared with their forecasts. See whether beat and a worker run.")
)
_FOLDING: Final = Runbook("beat", msg("Changes wait to be folded into the figures. See whether beat and a worker run."))
_CONNECTIONS: Final = Runbook(
    "scaling", msg("The connections of PostgreSQL are nearly used up. Raise its limit, or start fewer processes.")
)

MEASURES: Final = (
    Measure("processes.web"),
    Measure("processes.worker", runbook=_WORKER, least=1),
    Measure("processes.beat", runbook=_BEAT, least=1),
    Measure("redis.available", runbook=_REDIS, least=1),
    Measure("events.unpublished", runbook=_PUBLISHING, warn=500, bad=5000),
    Measure("events.lag", "seconds", runbook=_PUBLISHING, warn=5, bad=30),
    Measure("events.published", "per_minute"),
    *(Measure(f"queue.{name}.length") for name in sorted(jobs.QUEUES)),
    *(Measure(f"queue.{name}.oldest", "seconds", _BACKLOG, warn=30, bad=300) for name in sorted(jobs.QUEUES)),
    Measure("jobs.run", "per_minute"),
    Measure("jobs.failed", "per_minute", _FAILED_JOBS, warn=0),
    Measure("jobs.p99", "milliseconds"),
    Measure("requests.served", "per_minute"),
    Measure("requests.failed", "per_minute", _FAILED_REQUESTS, warn=0),
    Measure("requests.p99", "milliseconds"),
    Measure("requests.rate_limited", "per_minute"),
    Measure("requests.overloaded", "per_minute", _OVERLOAD, warn=0),
    Measure("sockets.open"),
    Measure("sockets.evicted", "per_minute"),
    Measure("weather.waiting"),
    Measure("weather.given_up", runbook=_WEATHER, warn=0),
    Measure("weather.calls", "percent", _CALLS, warn=89, bad=99),
    Measure("weather.searches", "percent", _CALLS, warn=99),
    Measure("weather.stopped", runbook=_STOPPED, warn=0),
    Measure("forecasts.waiting"),
    Measure("forecasts.late", "seconds", _FORECASTS, warn=1800, bad=4 * 3600),
    Measure("judgements.waiting"),
    Measure("judgements.late", "seconds", _JUDGING, warn=60, bad=600),
    Measure("mails.waiting"),
    Measure("mails.given_up", runbook=_MAIL, warn=0),
    Measure("mails.hour", "percent", _CAP, warn=79, bad=99),
    Measure("figures.waiting", runbook=_FOLDING, warn=100_000),
    Measure("database.size", "bytes"),
    Measure("database.connections", "percent", _CONNECTIONS, warn=80, bad=95),
    Measure("storage.size", "bytes"),
    Measure("storage.files"),
    Measure("storage.removable"),
)

_LAST_MINUTE: Final = "minute = date_trunc('minute', now()) - interval '1 minute'"


def _running(kind: str) -> str:
    return f"SELECT count(*) FROM processes WHERE kind = '{kind}' AND {_IS_ALIVE}"


def _done(kind: str, column: str) -> str:
    return f"SELECT coalesce(sum({column}), 0) FROM activity WHERE kind = '{kind}' AND {_LAST_MINUTE}"


def _counted(name: str) -> str:
    return f"{_done('count', 'number')} AND name = '{name}'"


def _given_up(condition: str) -> str:
    return f"SELECT count(*) FROM failed_work WHERE state = 'given_up' AND {condition}"


def _late(job: jobs.Job[*tuple[Any, ...]], column: Literal["number", "seconds"]) -> str:
    return f"SELECT {column} FROM ({DUE[job.name]}) work"


def _calls(column: Literal["calls", "searches"]) -> str:
    used = f"100.0 * {column} / %({column}_per_day)s"
    return f"SELECT coalesce(max({used}), 0) FROM weather_calls WHERE day = current_date"


_IS_ALIVE: Final = f"heartbeat_at > now() - interval '{SILENT_SECONDS} seconds'"

_SQL: Final = {
    "processes.web": _running("web"),
    "processes.worker": _running("worker"),
    "processes.beat": _running("beat"),
    "events.unpublished": _late(jobs.EVENTS_PUBLISH, "number"),
    "events.lag": _late(jobs.EVENTS_PUBLISH, "seconds"),
    "events.published": _counted(PUBLISHED),
    "jobs.run": _done("job", "number"),
    "jobs.failed": _done("job", "failed"),
    "requests.served": _done("request", "number"),
    "requests.failed": _done("request", "failed"),
    "requests.rate_limited": _counted(RATE_LIMITED),
    "requests.overloaded": _counted(OVERLOADED),
    "sockets.open": f"SELECT coalesce(sum(sockets), 0) FROM processes WHERE {_IS_ALIVE}",
    "sockets.evicted": _counted(EVICTED),
    "weather.waiting": "SELECT count(*) FROM tasks WHERE weather_status = 'pending'",
    "weather.given_up": _given_up("kind = 'weather'"),
    "weather.calls": _calls("calls"),
    "weather.searches": _calls("searches"),
    "weather.stopped": "SELECT count(*) FROM weather_calls WHERE day = current_date AND open_until IS NOT NULL",
    "forecasts.waiting": _late(jobs.FORECASTS_REFRESH, "number"),
    "forecasts.late": _late(jobs.FORECASTS_REFRESH, "seconds"),
    "judgements.waiting": _late(jobs.WEATHER_JUDGE, "number"),
    "judgements.late": _late(jobs.WEATHER_JUDGE, "seconds"),
    "mails.waiting": "SELECT (SELECT count(*) FROM notifications WHERE mail_status = 'pending')"
    " + (SELECT count(*) FROM account_mails WHERE mail_status = 'pending')",
    "mails.given_up": _given_up("kind <> 'weather'"),
    "mails.hour": "SELECT coalesce(max(100.0 * mails / %(mails_per_hour)s), 0) FROM mail_counts"
    " WHERE subject = 'all' AND period_start = date_trunc('hour', now())",
    "figures.waiting": "SELECT count(*) FROM analytics_deltas",
    "database.size": "SELECT pg_database_size(current_database())",
    "database.connections": "SELECT 100.0 * count(datname) / current_setting('max_connections')::integer"
    " FROM pg_stat_activity",
    "storage.size": "SELECT coalesce(sum(size), 0) FROM stored_files",
    "storage.files": "SELECT count(*) FROM stored_files",
    "storage.removable": "SELECT count(*) FROM stored_files WHERE removable_at IS NOT NULL",
}

_READ: Final = "SELECT " + ", ".join(f"({sql})::double precision" for sql in _SQL.values())

# A job that publishes events stays for the next ones, so its duration says nothing.
_CLASSES: Final = f"""
SELECT kind, array_agg(cases ORDER BY place) FROM (
    SELECT kind, place, sum(cases)::bigint AS cases
    FROM activity CROSS JOIN unnest(classes) WITH ORDINALITY AS class (cases, place)
    WHERE {_LAST_MINUTE} AND name <> '{jobs.EVENTS_PUBLISH.name}' GROUP BY kind, place) merged
GROUP BY kind
"""


def read_values(settings: Settings, queues: Sequence[Queue] | None) -> Values:
    """Read the values of all measures. What is counted by the minute is that of the last full minute.

    Args:
        settings: The settings, for the cap on mails and the budget of the weather provider.
        queues: The queues in Redis, or None if it cannot be reached.
    """
    allowed = {
        "mails_per_hour": settings.mails_per_hour,
        "calls_per_day": settings.weather_calls_per_day,
        "searches_per_day": searches_per_day(settings.weather_calls_per_day),
    }
    row = read(_READ, allowed).fetch_exactly_one()
    values: Values = dict(zip(_SQL, row, strict=True))
    classes: dict[str, list[int]] = dict(read(_CLASSES).fetch_all())
    values["jobs.p99"] = percentile(classes.get("job", ()), 0.99)
    values["requests.p99"] = percentile(classes.get("request", ()), 0.99)
    values["redis.available"] = float(queues is not None)
    for queue in queues or ():
        values[f"queue.{queue.name}.length"] = float(queue.length)
        values[f"queue.{queue.name}.oldest"] = queue.oldest_seconds
    return values


def ask_for_queues(pipeline: Any) -> None:
    """Add the commands to a pipeline of Redis whose replies `queues_from()` reads."""
    for name in sorted(jobs.QUEUES):
        pipeline.llen(name)
        pipeline.lindex(name, -1)


def queues_from(replies: Sequence[Any]) -> list[Queue]:
    """Return the queues. Workers take messages from the end, where the oldest one is."""
    names = sorted(jobs.QUEUES)
    return [Queue(name, replies[2 * at], _age_of(replies[2 * at + 1])) for at, name in enumerate(names)]


def _age_of(message: bytes | None) -> float | None:
    """Return how many seconds ago a message was sent, as its header says; None if there is none that says it."""
    try:
        return (
            None if message is None else max(round(time.time() - orjson.loads(message)["headers"]["sent_at"], 1), 0.0)
        )
    except (ValueError, KeyError, TypeError):
        # Other programs may have put it there. The overview must show the rest nevertheless.
        return None
