"""The commands that look into a running system: its events and its jobs."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Final

import click
import orjson
from redis import Redis

from core import db, events, jobs, redis_clients
from core.cli.application import allweather, command
from core.cli.failure import CommandFailed
from core.cli.output import Session, plain, table
from core.config import Settings
from core.local.embedded.environment import complete_environment
from core.waiting_jobs import waiting_jobs

_PROJECT: Final = Path(__file__).resolve().parents[2]
_STATEMENT_SECONDS: Final = 10.0
_REDIS_SECONDS: Final = 3.0
_SEND_SECONDS: Final = 30
_POLL_SECONDS: Final = 0.5
_BATCH: Final = 500
_LAST: Final = 10


@allweather.group("events")
def _events() -> None:
    """Look at the event log."""


@command("tail", _events)
@click.option("--since", type=click.IntRange(min=0), help="Begin after this number; by default, with the last ten.")
@click.option("--type", "kinds", multiple=True, help="Only events of this type; may be given several times.")
@click.option("--follow/--no-follow", default=True, help="Wait for further events, until Ctrl-C.")
def _tail(session: Session, since: int | None, kinds: tuple[str, ...], follow: bool) -> None:
    """Show published events. What they contain is shown with --json only, since it is personal."""
    with _installation(session):
        bounds = events.bounds()
        position = max(bounds.last - _LAST, bounds.oldest - 1) if since is None else since
        if position < bounds.oldest - 1:
            session.output.note(f"The events before {bounds.oldest} are not kept any more.")
        while True:
            batch = events.read_since(position, _BATCH)
            for event in batch:
                position = event.seq
                if not kinds or event.type in kinds:
                    _show_event(session, event)
            if len(batch) < _BATCH:
                if not follow:
                    return
                time.sleep(_POLL_SECONDS)


def _show_event(session: Session, event: events.Event) -> None:
    about = [f"task {event.task_id}"] if event.task_id else []
    about += [f"by account {event.actor_id}"] if event.actor_id else []
    about += [f"request {event.request_id}"] if event.request_id else []
    document = asdict(event) | {"data": orjson.Fragment(event.data)}
    session.output.show(document, "  ".join((str(event.seq), event.at, event.type, *about)))


@allweather.group("jobs")
def _jobs() -> None:
    """Look at the kinds of jobs, and start one."""


@command("list", _jobs)
def _list_jobs(session: Session) -> None:
    """List all kinds of jobs: their queue, what waits, and since when the oldest work is due."""
    with _installation(session) as settings, _redis(settings) as redis:
        kinds = waiting_jobs(redis)
    lines = table("Job", "Queue", "Sent", "Messages", "Work due", "Oldest")
    for kind in kinds:
        sent = f"every {kind.every:g} s" if kind.every else "after events"
        oldest = "" if not kind.due else f"{kind.oldest_seconds:.0f} s"
        due = "" if kind.due is None else str(kind.due)
        lines.add_row(*map(plain, (kind.name, kind.queue, sent, kind.messages, due, oldest)))
    session.output.show([asdict(kind) for kind in kinds], lines)


@command("run", _jobs)
@click.argument("name", type=click.Choice([job.name for job in jobs.ALL if job.every is not None]))
def _run_job(session: Session, name: str) -> None:
    """Send a periodic job to the workers now, instead of when beat would send it. This does no harm at any time."""
    with complete_environment(session.environ) as (environment, _):
        # Celery sends it, which the core does not import.
        arguments = [sys.executable, "-m", "celery", "--quiet", "--app", "worker.app", "call", name]
        try:
            done = subprocess.run(  # noqa: S603 - the program is this Python, and the name is one of a list.
                arguments, cwd=_PROJECT, env=environment, capture_output=True, check=False, timeout=_SEND_SECONDS
            )
        except subprocess.TimeoutExpired:
            raise CommandFailed("The job could not be sent in time. Is Redis running?") from None
    if done.returncode != 0:
        raise CommandFailed(f"The job could not be sent:\n{done.stderr.decode(errors='replace').strip()}")
    session.output.show({"sent": name}, f"{name} was sent; the log of the worker tells how it ends.")


@contextmanager
def _installation(session: Session) -> Iterator[Settings]:
    """Yield the settings, with the database configured."""
    with complete_environment(session.environ) as (environment, _):
        settings = Settings.from_environ(environment)
        url = settings.database_url.get_secret_value()
        db.configure(url, application="command", statement_seconds=_STATEMENT_SECONDS)
        try:
            yield settings
        finally:
            db.disconnect()


def _redis(settings: Settings) -> Redis:
    return redis_clients.connect(
        settings.redis_url.get_secret_value(), socket_timeout=_REDIS_SECONDS, socket_connect_timeout=_REDIS_SECONDS
    )
