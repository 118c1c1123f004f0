"""The stored forecasts of places, and the forecast that a task gets from them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from core.db import unit_of_work
from core.models.place import Place
from core.policy import Actor
from core.services.forecasts import read_forecasts, store_forecasts
from core.services.task_lists import SortKey, TaskQuery, list_tasks
from core.weather.forecast import Forecast
from tests.builders import create_task, read_task

pytestmark = pytest.mark.usefixtures("database")

HOUR = timedelta(hours=1)
MIDNIGHT = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
FORECAST = Forecast(
    provider="open-meteo",
    fetched_at=MIDNIGHT,
    starts_at=MIDNIGHT,
    step=HOUR,
    temperature=tuple(number / 10 for number in range(72)),
    feels_like=(-3.5,) * 72,
    rain_probability=(40.0,) * 72,
    rain=(0.3,) * 72,
    weather_code=(61.0,) * 71 + (None,),
    wind=(12.4,) * 72,
    gusts=(None,) * 72,
)


@pytest.fixture
def place_id() -> int:
    with unit_of_work():
        return int(
            Place.insert(reference="tests:1", name="Oslo", country_code="NO", latitude=59.9, longitude=10.7).execute()
        )


def store(place_id: int, forecast: Forecast) -> list[int]:
    with unit_of_work():
        return store_forecasts({place_id: forecast})


def test_a_stored_forecast_is_read_as_it_was(place_id: int) -> None:
    store(place_id, FORECAST)

    assert read_forecasts([place_id, place_id + 1]) == {place_id: FORECAST}


def test_an_older_forecast_does_not_replace_a_newer_one(place_id: int) -> None:
    newer = replace(FORECAST, fetched_at=MIDNIGHT + HOUR, feels_like=(7.0,) * 72)

    assert [store(place_id, forecast) for forecast in (FORECAST, newer, FORECAST)] == [[place_id], [place_id], []]
    assert read_forecasts([place_id]) == {place_id: newer}


def forecast_of_task(alice: Actor, place_id: int | None, due_at: datetime | None) -> dict[str, Any] | None:
    forecast: dict[str, Any] | None = read_task(alice, create_task(alice, place_id=place_id, due_at=due_at))["forecast"]
    return forecast


def test_a_task_has_the_forecast_of_the_hour_of_its_deadline(alice: Actor, place_id: int) -> None:
    store(place_id, FORECAST)

    assert forecast_of_task(alice, place_id, MIDNIGHT + 50.5 * HOUR) == {
        "horizon": "within",
        "at": (MIDNIGHT + 50 * HOUR).isoformat(),
        "temperature": 5.0,
        "feels_like": -3.5,
        "condition": "slight rain",
        "rain_probability": 40,
        "rain": 0.3,
        "wind": 12.4,
        "gusts": None,
        "provider": "open-meteo",
        "fetched_at": MIDNIGHT.isoformat(),
    }


@pytest.mark.parametrize(("hours", "horizon"), [(72, "beyond"), (1000, "beyond"), (-1, "past")])
def test_outside_the_forecast_a_task_has_the_horizon_alone(
    alice: Actor, place_id: int, hours: int, horizon: str
) -> None:
    store(place_id, FORECAST)

    forecast = forecast_of_task(alice, place_id, MIDNIGHT + hours * HOUR)
    assert forecast is not None
    assert {name for name, value in forecast.items() if value is not None} == {"horizon", "provider", "fetched_at"}
    assert forecast["horizon"] == horizon


@pytest.mark.parametrize(
    ("days", "zone", "begins", "horizon", "hour"),
    [
        (1, "UTC", 0, "within", 35),
        (1, "Etc/GMT-7", 0, "within", 28),
        (2, "UTC", 0, "within", 59),
        (1, "UTC", 40, "within", 40),
        (2, "Etc/GMT+8", 0, "beyond", None),
        (-1, "UTC", 0, "past", None),
    ],
    ids=["tomorrow", "seven hours ahead of UTC", "last day", "midday is over", "midday is not beyond", "past"],
)
def test_a_task_without_a_time_has_the_forecast_and_the_risk_of_midday(
    alice: Actor, place_id: int, days: int, zone: str, begins: int, horizon: str, hour: int | None
) -> None:
    rain = tuple(float(begins + number) for number in range(72 - begins))
    series = (FORECAST.temperature[begins:], FORECAST.feels_like[begins:], rain, *(FORECAST.gusts[begins:],) * 4)
    store(place_id, Forecast("open-meteo", MIDNIGHT, MIDNIGHT + begins * HOUR, HOUR, *series))
    day = MIDNIGHT.date() + timedelta(days=days)
    task_id = create_task(replace(alice, timezone=zone), place_id=place_id, due_on=day)

    forecast = read_task(alice, task_id)["forecast"]
    at = None if hour is None else (MIDNIGHT + hour * HOUR).isoformat()
    assert (forecast["horizon"], forecast["at"], forecast["rain_probability"]) == (horizon, at, hour)
    assert has_risk_above(alice, (hour or 1) - 1) == (hour is not None)
    assert not has_risk_above(alice, hour or 0)


def has_risk_above(alice: Actor, percentage: int) -> bool:
    page = list_tasks(alice, TaskQuery({"rain_above": percentage}, (SortKey("id"),)))
    return bool(orjson.loads(page.items))


def test_without_a_place_a_deadline_or_anything_fetched_there_is_no_forecast(alice: Actor, place_id: int) -> None:
    assert forecast_of_task(alice, place_id, MIDNIGHT + 50 * HOUR) is None
    store(place_id, FORECAST)
    assert forecast_of_task(alice, place_id, None) is None
    assert forecast_of_task(alice, None, MIDNIGHT + 50 * HOUR) is None


def test_a_task_names_its_place(alice: Actor, place_id: int) -> None:
    place = read_task(alice, create_task(alice, place_id=place_id))["place"]

    assert (place["id"], place["name"], place["country_code"], place["latitude"]) == (place_id, "Oslo", "NO", 59.9)
    assert "reference" not in place
