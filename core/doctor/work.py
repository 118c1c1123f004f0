"""Examine the running processes, and the work that waits for them."""

from collections.abc import Iterator
from typing import Any, Final

from redis import Redis

from core import jobs
from core.db import read
from core.doctor.findings import Finding, Level, graded, well
from core.events import STREAM_KEY
from core.messages import SOURCE_LANGUAGE
from core.services.measures import Values
from core.services.operations import describe
from core.waiting_jobs import late_work

_LATE_SECONDS: Final = 30.0
_VERY_LATE_SECONDS: Final = 300.0
_LONG_QUEUE: Final = 100
_VERY_LONG_QUEUE: Final = 1000

_EVENTS: Final = "SELECT last_seq, last_seq - jobs_seq FROM event_log_state"
_LEVELS: Final = {"warn": Level.WARN, "bad": Level.BAD}
# What is found in more detail elsewhere.
_EXAMINED: Final = ("processes.", "redis.")

_TITLES: Final = {
    jobs.WEATHER_ENRICH.name: "tasks without weather",
    jobs.REMINDERS_FIRE.name: "reminders",
    jobs.MAIL_SEND.name: "mails",
    jobs.ACCOUNT_MAIL_SEND.name: "mails about accounts",
}


def anything_runs(values: Values) -> bool:
    """Return whether any of the processes is running."""
    return any(_running(values).values())


def processes(values: Values) -> Iterator[Finding]:
    """Examine which of the processes are running."""
    running = _running(values)
    stopped = [name for name, runs in running.items() if not runs]
    if not stopped:
        yield well("processes", "web, worker and beat are running")
    elif len(stopped) == len(running):
        advice = "Start web, worker and beat, unless you have stopped them on purpose."
        yield Finding("processes", Level.WARN, "nothing is running", advice)
    else:
        missing = " and ".join(stopped)
        yield Finding("processes", Level.BAD, f"no {missing} is running", f"Start {missing}, and read its log.")


def _running(values: Values) -> dict[str, bool]:
    return {name: bool(values[f"processes.{name}"]) for name in ("web", "worker", "beat")}


def measured(values: Values) -> Iterator[Finding]:
    """Examine the measures that `python -m core status` shows, with the same limits."""
    wrong = [measure for measure in describe(values, SOURCE_LANGUAGE) if measure["state"] != "ok"]
    for measure in wrong:
        if not measure["name"].startswith(_EXAMINED):
            advice = f"{measure['advice']} See docs/operations.md#{measure['runbook']}."
            unit = "" if measure["unit"] == "count" else f" {measure['unit'].replace('_', ' ')}"
            yield Finding(measure["name"], _LEVELS[measure["state"]], f"{measure['value']:g}{unit}", advice)
    if not wrong:
        yield well("measures", "all are within their limits; `python -m core status` shows them")


def events(redis: Redis) -> Iterator[Finding]:
    """Examine whether the jobs that follow from events were sent, and whether the stream fits the event log."""
    last, without_jobs = read(_EVENTS).fetch_exactly_one()
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
