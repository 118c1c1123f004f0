"""The data of the demonstration, and its weather server."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
import requests

from core.demo.climate import PLACES, conditions, forecast
from core.demo.seed import DAYS, TASKS, Seeded, has_accounts, seed
from core.demo.texts import GROUPS, PEOPLE
from core.demo.weather_server import DemoWeather
from core.errors import Rejected
from core.models.account import User
from core.models.collaboration import Comment, TaskActivity
from core.models.task import Task
from core.policy import Actor, Role
from core.services import reminders
from core.services.activity import read_activity
from core.services.analytics import read_figures
from core.weather import CityNotFound, OpenMeteo, Point
from tests.builders import create_actor, read_task
from tests.sql import execute

NOW = datetime(2026, 6, 17, 12, tzinfo=UTC)


def tasks() -> list[dict[str, Any]]:
    """Return what must be the same if the data are written again: everything but ids."""
    columns = (Task.title, Task.status, Task.due_at, Task.city, Task.weather, Task.created_at, Task.version)
    return list(Task.select(*columns).order_by(Task.id).dicts())


def write(number: int = 1, now: datetime = NOW) -> Seeded:
    return seed(number, "-", now)


def test_the_data_are_the_same_for_the_same_number(database: None, empty_all_tables: str) -> None:
    seen = []
    for number in (1, 1, 2):
        execute(empty_all_tables)
        write(number)
        seen.append(tasks())

    assert seen[0] == seen[1]
    assert seen[0] != seen[2]


def test_the_data_are_believable(database: None) -> None:
    written = write()

    found = tasks()
    by_status = Counter(task["status"] for task in found)
    assert (written.people, written.groups, written.tasks) == (len(PEOPLE), len(GROUPS), TASKS)
    assert written.comments == Comment.select().count() > TASKS / 4
    assert all(NOW - timedelta(days=DAYS) <= task["created_at"] <= NOW for task in found)
    assert len({task["created_at"].date() for task in found}) > DAYS / 2
    assert all(by_status[status] > TASKS / 20 for status in ("todo", "in_progress", "done"))
    assert sum(task["weather"] is not None for task in found) > TASKS / 2
    assert any(task["due_at"] and task["due_at"] < NOW and task["status"] != "done" for task in found)
    assert TaskActivity.select().where(TaskActivity.at > NOW).count() == 0
    assert {user.role for user in User.select()} == set(Role)


def test_the_data_fit_the_use_cases(database: None) -> None:
    write()
    ada = User.named("ada")
    assert ada is not None
    actor = Actor(ada.id, Role.ADMIN, 0)
    task = Task.select().where(Task.status == "done").order_by(Task.id).first()

    assert sum(read_figures(actor).by_status.values()) == TASKS
    assert read_task(actor, task.id)["completed"] is True
    history = orjson.loads(read_activity(actor, task.id, 0, 100).items)
    assert {"from": "in_progress", "to": "done"} in [entry["changes"].get("status") for entry in history]


def test_nobody_is_told_of_what_is_long_past(database: None) -> None:
    write(now=datetime.now(UTC))

    assert (reminders.notify_overdue(), reminders.fire_reminders()) == (0, 0)


def test_nothing_is_written_if_a_name_is_taken(database: None) -> None:
    create_actor("thandi")

    with pytest.raises(Rejected):
        write()

    assert has_accounts()
    assert (User.select().count(), Task.select().count()) == (1, 0)


def test_the_weather_follows_the_season() -> None:
    oslo = next(place for place in PLACES if place.name == "Oslo")
    january, july = (
        [conditions(oslo, datetime(2026, month, day, 12, tzinfo=UTC)).temperature for day in range(1, 29)]
        for month in (1, 7)
    )

    assert sum(january) / len(january) < 0
    assert sum(july) / len(july) > 12
    assert conditions(oslo, NOW) == conditions(oslo, NOW)


def test_the_provider_understands_the_weather_server() -> None:
    with DemoWeather() as server:
        provider = OpenMeteo(server.url, server.url, 5.0)
        report = provider.current("zürich")

        assert report.location == "Zürich, Switzerland"
        assert -40 < report.temperature < 45
        assert report.condition != "unknown"
        with pytest.raises(CityNotFound):
            provider.current("Xyzzy")


def test_the_weather_server_sends_the_made_up_weather_of_many_points() -> None:
    """The seed stores the forecasts itself, so the first real fetch must find the same weather."""
    cities = PLACES[:3]
    with DemoWeather() as server:
        sent = OpenMeteo(server.url, server.url, 5.0).forecasts(
            [Point(city.latitude, city.longitude, city.name) for city in cities]
        )

    forecasts = [weather.forecast for weather in sent if weather is not None]
    assert forecasts == [
        replace(forecast(city, fetched.starts_at, "open-meteo"), fetched_at=fetched.fetched_at)
        for city, fetched in zip(cities, forecasts, strict=True)
    ]
    assert [weather and weather.current and weather.current.location for weather in sent] == [
        city.name for city in cities
    ]


@pytest.mark.parametrize(
    ("name", "count", "found"),
    [
        ("paris", 10, ["Île-de-France", "Texas"]),
        ("Paris", 1, ["Île-de-France"]),
        ("reykjavik", 10, ["Capital Region"]),
        ("Lon", 10, ["England", "Ontario"]),
        ("Lo", 10, []),
    ],
)
def test_the_weather_server_finds_the_largest_place_of_a_name_first(name: str, count: int, found: list[str]) -> None:
    with DemoWeather() as server:
        places = OpenMeteo(server.url, server.url, 5.0).search(name, count)

    assert [place.region for place in places] == found


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/forecast?latitude=north", 400),
        ("/v1/forecast?latitude=1,2&longitude=1&current=weather_code&hourly=precipitation&forecast_days=1", 400),
        ("/v1/search", 400),
        ("/", 404),
    ],
)
def test_the_weather_server_refuses_what_it_does_not_understand(path: str, status: int) -> None:
    with DemoWeather() as server:
        assert requests.get(server.url + path, timeout=5).status_code == status
