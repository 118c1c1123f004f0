"""Examine the running processes, and the work that waits for them."""

from collections.abc import Iterator
from typing import Any, Final

from redis import Redis

from core import jobs
from core.db import read
from core.doctor.findings import Finding, Level, graded, well
from core.events import STREAM_KEY
from core.waiting_jobs import late_work

_LATE_SECONDS: Final = 30.0
_VERY_LATE_SECONDS: Final = 300.0
_LONG_QUEUE: Final = 100
_VERY_LONG_QUEUE: Final = 1000
_MANY_DELTAS: Final = 100_000

_PROCESSES: Final = """
SELECT count(DISTINCT pid) FILTER (WHERE application_name = 'allweather-web'),
       EXISTS (SELECT FROM pg_locks JOIN pg_stat_activity USING (pid)
               WHERE locktype = 'advisory' AND application_name = 'allweather-beat' AND granted)
FROM pg_stat_activity
"""
_EVENTS: Final = """
SELECT count(*), coalesce(extract(epoch FROM now() - min(at)), 0)::float8,
       (SELECT last_seq FROM event_log_state), (SELECT last_seq - jobs_seq FROM event_log_state)
FROM events WHERE seq IS NULL
"""
_GIVEN_UP: Final = "SELECT kind, count(*) FROM failed_work WHERE state = 'given_up' GROUP BY kind ORDER BY kind"


_TITLES: Final = {
    jobs.WEATHER_ENRICH.name: "tasks without weather",
    jobs.REMINDERS_FIRE.name: "reminders",
    jobs.MAIL_SEND.name: "mails",
    jobs.ACCOUNT_MAIL_SEND.name: "mails about accounts",
}


def processes(redis: Redis) -> Iterator[Finding]:
    """Examine which of the processes are running."""
    web, beat = read(_PROCESSES).fetch_exactly_one()
    # A worker waits for messages with this command, and nobody else uses it.
    workers = sum(client.get("cmd") == "brpop" for client in redis.client_list())
    running = {"web": bool(web), "worker": bool(workers), "beat": bool(beat)}
    stopped = [name for name, runs in running.items() if not runs]
    if not stopped:
        yield well("processes", "web, worker and beat are running")
    elif len(stopped) == len(running):
        advice = "Start web, worker and beat, unless you have stopped them on purpose."
        yield Finding("processes", Level.WARN, "nothing is running", advice)
    else:
        # An idle web process may not have used the database yet.
        level = Level.WARN if stopped == ["web"] else Level.BAD
        missing = " and ".join(stopped)
        yield Finding("processes", level, f"no {missing} seems to be running", f"Start {missing}, and read its log.")


def events(redis: Redis) -> Iterator[Finding]:
    """Examine whether committed events are published, and in the stream."""
    waiting, seconds, last, without_jobs = read(_EVENTS).fetch_exactly_one()
    level = graded(seconds, warn_from=_LATE_SECONDS, bad_from=_VERY_LATE_SECONDS)
    advice = "No worker publishes. Start one, and read its log." if level else ""
    yield Finding("events", level, f"{waiting} unpublished, the oldest for {seconds:.0f} s; last number {last}", advice)
    if without_jobs > _LONG_QUEUE:
        advice = "Start a worker: the jobs that follow from these events were not sent yet."
        yield Finding("jobs of events", Level.WARN, f"{without_jobs} events behind", advice)
    newest: Any = redis.xrevrange(STREAM_KEY, count=1)
    position = int(newest[0][0].split(b"-")[0]) if newest else 0
    if position > last:
        advice = "A backup was restored. The next publication renews the stream; nothing is to be done."
        yield Finding("event stream", Level.WARN, f"at {position}, ahead of the database", advice)


def queues(redis: Redis) -> Iterator[Finding]:
    """Examine how many messages wait in the queues."""
    lengths = {queue: int(redis.llen(queue)) for queue in sorted(jobs.QUEUES)}
    level = graded(max(lengths.values()), warn_from=_LONG_QUEUE, bad_from=_VERY_LONG_QUEUE)
    advice = "Start more workers, or raise WORKER_CONCURRENCY." if level else ""
    yield Finding("queues", level, ", ".join(f"{name} {length}" for name, length in lengths.items()), advice)


def backlogs() -> Iterator[Finding]:
    """Examine the work that is due and not done."""
    for job, title in _TITLES.items():
        count, seconds = late_work(job)
        level = graded(seconds, warn_from=_LATE_SECONDS, bad_from=_VERY_LATE_SECONDS)
        if level:
            advice = f"Look for {job} in the log of the worker. Do worker and beat run?"
            yield Finding("late work", level, f"{count} {title}, the oldest for {seconds:.0f} s", advice)
    deltas = read("SELECT count(*) FROM analytics_deltas").fetch_value()
    if deltas > _MANY_DELTAS:
        advice = "Start worker and beat: the figures are exact, but slow to read."
        yield Finding("late work", Level.WARN, f"{deltas} changes are not folded into the figures", advice)


def given_up() -> Iterator[Finding]:
    """Examine which work was given up."""
    for kind, number in read(_GIVEN_UP).fetch_all():
        advice = "`python -m core work list` shows why, and `python -m core work retry --all` tries it again."
        yield Finding("given up", Level.WARN, f"{number} {kind}", advice)
