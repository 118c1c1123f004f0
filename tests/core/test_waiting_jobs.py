"""What waits for each kind of job."""

from typing import Any

import orjson
import pytest

from core import db, jobs
from core.policy import Actor
from core.waiting_jobs import waiting_jobs
from tests.builders import create_task
from tests.sql import execute


@pytest.fixture
def waiting(redis: Any) -> Any:
    """Return a function that returns what waits, by the names of the jobs."""
    return lambda: {kind.name: kind for kind in waiting_jobs(redis)}


def test_every_job_is_listed_and_nothing_waits(database: None, waiting: Any) -> None:
    found = waiting()

    assert set(found) == {job.name for job in jobs.ALL}
    assert {(kind.messages, kind.due or 0, kind.oldest_seconds) for kind in found.values()} == {(0, 0, 0.0)}


def test_work_that_is_due_is_counted_with_its_age(alice: Actor, waiting: Any) -> None:
    for _ in range(2):
        create_task(alice, city="London")
    create_task(alice, city="Paris")
    with db.unit_of_work():
        execute("UPDATE tasks SET weather_next_attempt_at = now() + interval '1 hour' WHERE city = 'Paris'")
        execute("UPDATE tasks SET weather_next_attempt_at = now() - interval '1 hour' WHERE city = 'London'")

    weather = waiting()["weather.enrich"]

    assert (weather.due, round(weather.oldest_seconds, -2)) == (2, 3600)


def test_messages_are_counted_by_their_job(database: None, redis: Any, waiting: Any) -> None:
    message = orjson.dumps({"headers": {"task": "mail.sweep"}, "body": ""})
    redis.lpush("maintenance", message, message)

    assert waiting()["mail.sweep"].messages == 2
