"""Several beat processes: one leads, another replaces it if it ends, and a job is sent only if it has work."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg2
import pytest
from celery.signals import beat_init
from kombu import Connection
from redis import Redis
from structlog.testing import capture_logs

from core import jobs
from core.config import Settings
from core.db import unit_of_work
from core.policy import Actor
from core.services import account_mails, attachments, reminders, tasks
from core.services.event_partitions import make_partitions
from tests.builders import QUOTA
from tests.forecasts import create_place, store_hours
from tests.sql import execute
from tests.worker.broker import FAIL_FAST, job_names


@pytest.fixture
def idle_beats() -> Iterator[list[Any]]:
    """Two beats, each with its own connection, while there is nothing to do."""
    from worker.app import app, context  # noqa: PLC0415 - the module reads the environment.
    from worker.beat import SingleBeatScheduler  # noqa: PLC0415 - the module reads the environment.

    make_partitions(context)
    schedulers = [SingleBeatScheduler(app=app, lazy=True) for _ in range(2)]
    for scheduler in schedulers:
        scheduler.setup_schedule()
        make_all_due(scheduler)
    yield schedulers
    for scheduler in schedulers:
        scheduler.close()


@pytest.fixture
def beats(idle_beats: list[Any], monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Two beats, while there is something to do for every job."""
    monkeypatch.setattr(jobs.Job, "has_something_to_do", lambda *_: True)
    return idle_beats


def make_all_due(scheduler: Any) -> None:
    scheduler.populate_heap()
    for entry in scheduler.schedule.values():
        entry.last_run_at = entry.last_run_at.replace(year=2020)
    scheduler.populate_heap()


def tick_all_due(scheduler: Any) -> None:
    for _ in jobs.ALL:
        scheduler.tick()


def sent(redis: Redis) -> list[str]:
    return sorted(name for queue in (jobs.QUEUE_EVENTS, jobs.QUEUE_MAINTENANCE) for name in job_names(redis, queue))


EVERY_JOB_ONCE = sorted(job.name for job in jobs.ALL if job.every is not None)
UNCONDITIONAL = sorted(
    job.name for job in (jobs.TOKENS_PURGE, jobs.EVENTS_PURGE, jobs.NOTIFICATIONS_PURGE, jobs.OPERATIONS_SAMPLE)
)


def test_two_beats_send_every_job_once(beats: list[Any], redis: Redis) -> None:
    for scheduler in beats:
        tick_all_due(scheduler)

    assert sent(redis) == EVERY_JOB_ONCE


def test_the_second_beat_leads_after_the_first_has_ended(beats: list[Any], redis: Redis) -> None:
    first, second = beats
    first.tick()
    redis.flushdb()
    first.close()

    tick_all_due(second)

    assert sent(redis) == EVERY_JOB_ONCE


def test_a_leader_that_loses_its_connection_must_take_the_lock_again(beats: list[Any], redis: Redis) -> None:
    first, second = beats
    first.tick()
    execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'allweather-beat'")
    redis.flushdb()

    first.tick()
    tick_all_due(second)
    tick_all_due(first)

    assert sent(redis) == EVERY_JOB_ONCE


def test_without_a_broker_beat_keeps_running_and_logs_it_once(
    beats: list[Any], redis: Redis, redis_url: str, unused_tcp_port: int
) -> None:
    beat, _ = beats
    beat.connection = Connection(f"redis://127.0.0.1:{unused_tcp_port}/0", transport_options=FAIL_FAST)
    with capture_logs() as lines:
        tick_all_due(beat)
        before = sent(redis)
        del beat.producer
        beat.connection = Connection(redis_url)
        make_all_due(beat)
        tick_all_due(beat)

    assert [line["event"] for line in lines] == ["beat_leads", "broker_unreachable", "broker_reachable"]
    assert (before, sent(redis)) == ([], EVERY_JOB_ONCE)


def test_without_postgresql_a_beat_sends_nothing(
    beats: list[Any], redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise psycopg2.OperationalError

    monkeypatch.setattr("psycopg2.connect", refuse)

    assert beats[0].tick() > 0
    assert sent(redis) == []


def test_without_work_only_rare_unconditional_jobs_are_sent(idle_beats: list[Any], redis: Redis) -> None:
    beat, _ = idle_beats
    tick_all_due(beat)
    first_round = sent(redis)
    redis.flushdb()
    for _ in range(3):
        make_all_due(beat)
        tick_all_due(beat)

    assert first_round == UNCONDITIONAL
    assert sent(redis) == sorted(UNCONDITIONAL * 3)
    assert all(job.every >= 60 for job in jobs.ALL if job.name in UNCONDITIONAL and job.every)


def create_plain_task(alice: Actor, _bob: Actor) -> None:
    tasks.create_task(alice, {"title": "x"}, QUOTA)


def make_weather_overdue(alice: Actor, _bob: Actor) -> None:
    tasks.create_task(alice, {"title": "x", "city": "London"}, QUOTA)
    execute("UPDATE tasks SET weather_next_attempt_at = now() - interval '1 minute'")


def store_a_forecast_to_look_at(alice: Actor, bob: Actor) -> None:
    create_plain_task(alice, bob)
    store_hours(create_place("Oslo"))


def create_overdue_task(alice: Actor, _bob: Actor) -> None:
    tasks.create_task(alice, {"title": "x", "due_at": "2026-01-01T00:00:00+00:00"}, QUOTA)


def create_due_reminder(alice: Actor, _bob: Actor) -> None:
    task_id = tasks.create_task(alice, {"title": "x"}, QUOTA).id
    reminders.create_reminder(alice, task_id, datetime(2026, 1, 1, tzinfo=UTC), None)


def make_mail_overdue(alice: Actor, bob: Actor) -> None:
    tasks.create_task(alice, {"title": "x", "assignee_id": bob.user_id}, QUOTA)
    execute("UPDATE notifications SET mail_next_attempt_at = now() - interval '1 minute'")


def make_account_mail_overdue(alice: Actor, _bob: Actor) -> None:
    tasks.create_task(alice, {"title": "x"}, QUOTA)
    account_mails.queue(account_mails.PASSWORD_WAS_RESET, recipient="alice@example.com", locale="en")
    execute("UPDATE account_mails SET mail_next_attempt_at = now() - interval '1 minute'")


def leave_a_removable_file(alice: Actor, _bob: Actor) -> None:
    tasks.create_task(alice, {"title": "x"}, QUOTA)
    attachments.claim_removal(attachments.announce(alice, 1, quota=1))


# Each created task causes an event to publish and an analytics delta to fold.
FOR_EVERY_TASK = [jobs.EVENTS_PUBLISH.name, jobs.ANALYTICS_FOLD.name]


@pytest.mark.parametrize(
    ("cause_work", "due"),
    [
        (create_plain_task, []),
        (make_weather_overdue, [jobs.WEATHER_SWEEP.name]),
        (store_a_forecast_to_look_at, [jobs.FORECASTS_REFRESH.name]),
        (create_overdue_task, [jobs.REMINDERS_FIRE.name]),
        (create_due_reminder, [jobs.REMINDERS_FIRE.name]),
        (make_mail_overdue, [jobs.MAIL_SWEEP.name]),
        (make_account_mail_overdue, [jobs.ACCOUNT_MAIL_SWEEP.name]),
        (leave_a_removable_file, [jobs.ATTACHMENTS_SWEEP.name]),
    ],
)
def test_a_job_with_work_is_sent_in_the_next_round(
    cause_work: Callable[[Actor, Actor], None],
    due: list[str],
    alice: Actor,
    bob: Actor,
    idle_beats: list[Any],
    redis: Redis,
) -> None:
    beat, _ = idle_beats
    tick_all_due(beat)
    redis.flushdb()
    with unit_of_work():
        cause_work(alice, bob)
    make_all_due(beat)

    tick_all_due(beat)

    assert sent(redis) == sorted([*UNCONDITIONAL, *FOR_EVERY_TASK, *due])


def test_a_failing_condition_is_logged_once_and_its_job_is_sent(
    idle_beats: list[Any], redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_context: object) -> bool:
        raise LookupError

    monkeypatch.setattr(jobs.WEATHER_SWEEP, "_condition", fail)
    beat, _ = idle_beats
    with capture_logs() as lines:
        for _ in range(2):
            make_all_due(beat)
            tick_all_due(beat)

    unknown = [line for line in lines if line["event"] == "condition_unknown"]
    assert sent(redis) == sorted([*UNCONDITIONAL, jobs.WEATHER_SWEEP.name] * 2)
    assert [(line["job"], line["reason"], line["exc_info"]) for line in unknown] == [
        (jobs.WEATHER_SWEEP.name, "LookupError", True)
    ]


def test_a_locked_table_delays_beat_only_briefly(
    idle_beats: list[Any], settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.beat._CONDITION_SECONDS", 0.1)
    monkeypatch.setattr("worker.beat.start_heartbeat", lambda _identity: None)
    beat, _ = idle_beats
    with psycopg2.connect(settings.database_url.get_secret_value()) as connection, connection.cursor() as cursor:
        cursor.execute("LOCK TABLE analytics_deltas IN ACCESS EXCLUSIVE MODE")
        beat_init.send(sender=None)
        with capture_logs() as lines:
            tick_all_due(beat)
    connection.close()

    (unknown,) = [line for line in lines if line["event"] == "condition_unknown"]
    assert (unknown["job"], unknown["exc_info"]) == (jobs.ANALYTICS_FOLD.name, False)
    assert sent(redis) == sorted([*UNCONDITIONAL, jobs.ANALYTICS_FOLD.name])
