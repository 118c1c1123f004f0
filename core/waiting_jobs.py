"""How much waits for each kind of job: messages in the queues, and work in PostgreSQL."""

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

import orjson
from redis import Redis

from core import jobs
from core.db import read

_LONGEST_LOOK: Final = 1000
"""Only so many messages of a queue are looked at. A queue that is longer is too long in any case."""

MOST_COUNTED: Final = 100_000
"""Counting stops here, so that a large backlog does not make it slow."""


def _due(table: str, column: str, condition: str, order: str | None = None) -> str:
    """Return the SQL of how many rows are due (`number`), and since how many seconds the oldest is (`seconds`)."""
    return f"""
        SELECT count(*) AS number, coalesce(extract(epoch FROM now() - min(since)), 0)::float8 AS seconds
        FROM (SELECT {column} AS since FROM {table} WHERE {condition} AND {column} <= now()
              ORDER BY {order or column} LIMIT {MOST_COUNTED}) due
    """


DUE: Final = {
    jobs.EVENTS_PUBLISH.name: _due("events", "at", "seq IS NULL", order="id"),
    jobs.WEATHER_ENRICH.name: _due("tasks", "weather_next_attempt_at", "weather_status = 'pending'"),
    # A place without a deadline ahead needs no forecast.
    jobs.FORECASTS_REFRESH.name: _due("forecasts", "refresh_at", "nearest_due_at >= now()"),
    jobs.WEATHER_JUDGE.name: _due("tasks", "weather_judge_at", "weather_judge_at IS NOT NULL"),
    jobs.REMINDERS_FIRE.name: _due("reminders", "fires_at", "fired_at IS NULL"),
    jobs.MAIL_SEND.name: _due("notifications", "mail_next_attempt_at", "mail_status = 'pending'"),
    jobs.ACCOUNT_MAIL_SEND.name: _due("account_mails", "mail_next_attempt_at", "mail_status = 'pending'"),
}
"""The work that stands in PostgreSQL until a job of this name has done it, as SQL that counts what is due of it."""


@dataclass(frozen=True, slots=True)
class WaitingJob:
    """A kind of job, and what waits for it.

    Attributes:
        name: Its name.
        queue: The queue of its messages.
        every: Its interval in seconds; None if it only follows from events.
        messages: How many messages wait in the queue.
        due: How much work in PostgreSQL is due; None if the work of this job cannot be counted.
        oldest_seconds: Since how many seconds the oldest of this work is due.
    """

    name: str
    queue: str
    every: float | None
    messages: int
    due: int | None
    oldest_seconds: float


def waiting_jobs(redis: Redis) -> list[WaitingJob]:
    """Return all kinds of jobs with what waits for them.

    Raises:
        RedisError: if Redis cannot be reached.
    """
    messages = Counter(name for queue in sorted(jobs.QUEUES) for name in _names_in(redis, queue))
    return [_waiting(job, messages[job.name]) for job in sorted(jobs.ALL, key=lambda job: job.name)]


def late_work(name: str) -> tuple[int, float]:
    """Return how much work of a job is due, and since how many seconds the oldest of it is."""
    count, seconds = read(DUE[name]).fetch_exactly_one()
    return count, seconds


def _waiting(job: jobs.Job[*tuple[Any, ...]], messages: int) -> WaitingJob:
    due, seconds = late_work(job.name) if job.name in DUE else (None, 0.0)
    return WaitingJob(job.name, job.queue, job.every, messages, due, seconds)


def _names_in(redis: Redis, queue: str) -> list[str]:
    """Return the names of the jobs whose messages wait in a queue, which Celery keeps as a list in Redis."""
    found: Any = redis.lrange(queue, 0, _LONGEST_LOOK - 1)
    return [str(orjson.loads(message)["headers"]["task"]) for message in found]
