"""The tasks of one user may have so many new places on a day, and the others wait for the next day."""

from datetime import timedelta

import pytest
from redis import Redis

from core.config import Settings
from core.jobs import JobContext
from core.policy import Actor
from core.services.weather import enrich
from core.services.weather_calls import WeatherCalls
from core.weather import ProviderUnavailable
from tests.builders import create_actor, create_task, read_task
from tests.doubles.weather import WeatherServer
from tests.job_context import job_context
from tests.sql import execute


@pytest.fixture
def context(settings: Settings, redis: Redis, weather: WeatherServer) -> JobContext:
    """A job context in which nobody's tasks may have more than two new places on a day."""
    changed = {
        "open_meteo_url": weather.url,
        "open_meteo_geocoding_url": weather.url,
        "weather_new_places_per_user_per_day": 2,
    }
    return job_context(settings.model_copy(update=changed), redis)


def make_due() -> None:
    execute("UPDATE tasks SET weather_next_attempt_at = now() - interval '10 s' WHERE weather_status = 'pending'")


def statuses(actor: Actor, ids: list[int]) -> list[str]:
    return [read_task(actor, task_id)["weather_status"] for task_id in ids]


def test_tasks_beyond_it_wait_for_the_next_day_and_delay_nobody(
    alice: Actor, bob: Actor, context: JobContext, weather: WeatherServer
) -> None:
    hers = [create_task(alice, city=city) for city in ("Oslo", "Atlantis", "Paris", "Madrid")]
    for _ in range(3):
        make_due()
        enrich(context)
    his = [create_task(bob, city=city) for city in ("Berlin", "London")]
    enrich(context)

    assert sorted(statuses(alice, hers)) == ["pending", "pending", "ready", "unavailable"]
    assert statuses(bob, his) == ["ready"] * 2
    assert sum(count for (path, _), count in weather.requests.items() if path == "/v1/search") == 4
    ((attempts, earliest, latest),) = execute("""
        SELECT max(weather_attempts), min(weather_next_attempt_at) - (current_date + 1)::timestamptz,
               max(weather_next_attempt_at) - (current_date + 1)::timestamptz
        FROM tasks WHERE weather_status = 'pending'""").fetchall()
    assert attempts == 0
    assert timedelta(0) <= earliest <= latest <= timedelta(minutes=5)

    execute("UPDATE weather_new_places SET day = day - 1")
    make_due()
    enrich(context)
    assert sorted(statuses(alice, hers)) == ["ready"] * 3 + ["unavailable"]


def test_known_places_and_those_that_somebody_else_may_have_are_free(
    alice: Actor, bob: Actor, context: JobContext
) -> None:
    for city in ("Oslo", "Paris"):
        create_task(bob, city=city)
    enrich(context)
    hers = [create_task(alice, city=city) for city in ("Oslo", "Paris", "Madrid", "Berlin")]
    enrich(context)
    shared = [create_task(actor, city="London") for actor in (alice, create_actor("carol"))]
    enrich(context)

    assert statuses(alice, [*hers, shared[0]]) == ["ready"] * 5


def test_points_count_and_places_for_which_no_call_was_granted_do_not(
    alice: Actor, context: JobContext, weather: WeatherServer
) -> None:
    ids = [create_task(alice, latitude=latitude, longitude=10.0) for latitude in (50.0, 51.0, 52.0)]
    calls = WeatherCalls(context.settings, context.weather)
    calls.granted(1)
    calls.failed(ProviderUnavailable("Too many.", retry_after=100))
    enrich(context)
    execute("UPDATE weather_calls SET open_until = NULL, failures = 0")
    for _ in range(2):
        make_due()
        enrich(context)

    assert sorted(statuses(alice, ids)) == ["pending", "ready", "ready"]
    assert weather.points == 2
