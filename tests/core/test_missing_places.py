"""Tasks from before there were places get theirs when they need a forecast."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis import Redis

from core.config import Settings
from core.jobs import JobContext
from core.policy import Actor
from core.services.forecast_refresh import follow_up
from core.services.missing_places import has_work, place_tasks
from tests.builders import create_task, read_task
from tests.doubles.weather import WeatherServer
from tests.forecasts import HOUR, create_place
from tests.job_context import job_context
from tests.sql import execute

DAY = 24 * HOUR


@pytest.fixture
def context(settings: Settings, weather: WeatherServer, redis: Redis) -> JobContext:
    urls = {"open_meteo_url": weather.url, "open_meteo_geocoding_url": weather.url}
    return job_context(settings.model_copy(update=urls), redis)


def old_task(alice: Actor, city: str, due_in: timedelta, **columns: Any) -> int:
    task_id = create_task(alice, city=city, due_at=datetime.now(UTC) + due_in)
    values = {"weather_status": "ready", "place_id": None} | columns
    assignments = ", ".join(f"{name} = %({name})s" for name in values)
    execute(f"UPDATE tasks SET {assignments} WHERE id = %(id)s", values | {"id": task_id})
    return task_id


def test_it_gets_its_place_and_a_forecast_without_a_new_version(
    alice: Actor, context: JobContext, weather: WeatherServer
) -> None:
    ids = [old_task(alice, city, 5 * HOUR) for city in ("Oslo", "OSLO", "Atlantis")]
    far, done = (
        old_task(alice, "Paris", 30 * DAY),
        old_task(alice, "Paris", 5 * HOUR, status="done", completed_at=datetime.now(UTC)),
    )

    assert has_work()
    follow_up(place_tasks(context))

    found = [read_task(alice, task_id) for task_id in (*ids, far, done)]
    assert [task["place"] and task["place"]["name"] for task in found] == ["Oslo", "Oslo", None, None, None]
    assert [task["version"] for task in found] == [1] * 5
    assert found[0]["forecast"]["horizon"] == "within"
    assert not has_work()


def test_a_task_whose_weather_was_given_up_gets_a_forecast(alice: Actor, context: JobContext) -> None:
    place_id = create_place("Oslo")
    ids = [
        old_task(alice, "Oslo", 5 * HOUR, weather_status="unavailable", place_id=place) for place in (None, place_id)
    ]

    follow_up(place_tasks(context))

    assert [read_task(alice, task_id)["forecast"]["horizon"] for task_id in ids] == ["within"] * 2
    assert not has_work()


def test_nothing_is_lost_during_an_outage(alice: Actor, context: JobContext, weather: WeatherServer) -> None:
    task_id = old_task(alice, "Oslo", 5 * HOUR)
    weather.down = True
    follow_up(place_tasks(context))
    during = (read_task(alice, task_id)["place"], has_work())
    weather.down = False
    follow_up(place_tasks(context))

    assert during == (None, True)
    assert read_task(alice, task_id)["place"]["name"] == "Oslo"


def test_tasks_are_placed_a_few_at_a_time(
    alice: Actor, context: JobContext, weather: WeatherServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.services.missing_places.CALLS_SIDE_BY_SIDE", 2)
    for city in ("Oslo", "Paris", "Berlin"):
        old_task(alice, city, 5 * HOUR)

    placed = [len(place_tasks(context)) for _ in range(3)]

    assert placed == [2, 1, 0]
    assert weather.points == 3
