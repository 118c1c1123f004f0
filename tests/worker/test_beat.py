"""Of several beats one leads, and another takes over when it is gone."""

from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest
from kombu import Connection
from redis import Redis
from structlog.testing import capture_logs

from core import jobs
from tests.sql import execute
from tests.worker.broker import NO_PATIENCE, job_names


@pytest.fixture
def beats() -> Iterator[list[Any]]:
    """Two beats, each with a connection of its own."""
    from worker.app import app  # noqa: PLC0415 - not before the environment is set.
    from worker.beat import SingleBeatScheduler  # noqa: PLC0415 - not before the environment is set.

    schedulers = [SingleBeatScheduler(app=app, lazy=True) for _ in range(2)]
    for scheduler in schedulers:
        scheduler.setup_schedule()
        make_all_due(scheduler)
    yield schedulers
    for scheduler in schedulers:
        scheduler.close()


def make_all_due(scheduler: Any) -> None:
    scheduler.populate_heap()
    for entry in scheduler.schedule.values():
        entry.last_run_at = entry.last_run_at.replace(year=2020)
    scheduler.populate_heap()


def tick_all_due(scheduler: Any) -> None:
    for _ in range(10):
        scheduler.tick()


def sent(redis: Redis) -> list[str]:
    return sorted(name for queue in (jobs.QUEUE_EVENTS, jobs.QUEUE_MAINTENANCE) for name in job_names(redis, queue))


EVERY_JOB_ONCE = sorted(
    [
        jobs.EVENTS_PUBLISH,
        jobs.WEATHER_SWEEP,
        jobs.REMINDERS_FIRE,
        jobs.MAIL_SWEEP,
        jobs.ANALYTICS_FOLD,
        jobs.TOKENS_PURGE,
        jobs.EVENTS_PURGE,
        jobs.NOTIFICATIONS_PURGE,
        jobs.ATTACHMENTS_SWEEP,
    ]
)


def test_two_beats_send_every_job_once(beats: list[Any], redis: Redis) -> None:
    for scheduler in beats:
        tick_all_due(scheduler)

    assert sent(redis) == EVERY_JOB_ONCE


def test_the_second_takes_over_when_the_first_is_gone(beats: list[Any], redis: Redis) -> None:
    first, second = beats
    first.tick()
    redis.flushdb()
    first.close()

    tick_all_due(second)

    assert sent(redis) == EVERY_JOB_ONCE


def test_a_leader_whose_connection_is_cut_asks_for_the_lock_again(beats: list[Any], redis: Redis) -> None:
    first, second = beats
    first.tick()
    execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'allweather-beat'")
    redis.flushdb()

    first.tick()
    tick_all_due(second)
    tick_all_due(first)

    assert sent(redis) == EVERY_JOB_ONCE


def test_without_a_broker_beat_goes_on_and_says_so_once(
    beats: list[Any], redis: Redis, redis_url: str, unused_tcp_port: int
) -> None:
    beat, _ = beats
    beat.connection = Connection(f"redis://127.0.0.1:{unused_tcp_port}/0", transport_options=NO_PATIENCE)
    with capture_logs() as lines:
        tick_all_due(beat)
        before = sent(redis)
        del beat.producer
        beat.connection = Connection(redis_url)
        make_all_due(beat)
        tick_all_due(beat)

    assert [line["event"] for line in lines] == ["beat_leads", "broker_unreachable", "broker_reachable"]
    assert (before, sent(redis)) == ([], EVERY_JOB_ONCE)


def test_without_postgresql_a_beat_stands_by(beats: list[Any], redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise psycopg2.OperationalError

    monkeypatch.setattr("psycopg2.connect", refuse)

    assert beats[0].tick() > 0
    assert sent(redis) == []
