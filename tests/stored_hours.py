"""Functions that give tests places and forecasts without a provider."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from core.db import unit_of_work
from core.models.place import Place
from core.services.forecasts import store_forecasts
from core.weather.forecast import Forecast
from tests.sql import execute

HOUR = timedelta(hours=1)
_USUAL = {
    "temperature": 11.0,
    "feels_like": 10.0,
    "rain_probability": 10.0,
    "rain": 0.0,
    "weather_code": 1.0,
    "wind": 12.0,
    "gusts": 20.0,
}


def create_place(name: str) -> int:
    """Return the id of the place with this name, which is made if it does not exist."""
    with unit_of_work():
        Place.insert(reference=f"tests:{name}", name=name, latitude=59.9, longitude=10.7).on_conflict_ignore().execute()
    (place_id,) = execute("SELECT id FROM places WHERE reference = %s", (f"tests:{name}",)).fetchone()
    return int(place_id)


def hours(count: int = 72, *, fetched_at: datetime | None = None, **values: Any) -> Forecast:
    """Return a forecast from the hour now on: each series has the same value in all hours, or a list of values."""
    series = {
        name: tuple(value) if isinstance(value, Sequence) else (value,) * count
        for name, value in (_USUAL | values).items()
    }
    now = datetime.now(UTC)
    return Forecast("tests", fetched_at or now, now.replace(minute=0, second=0, microsecond=0), HOUR, **series)


def store_hours(place_id: int, **values: Any) -> Forecast:
    """Store such a forecast for a place, and return it."""
    forecast = hours(**values)
    with unit_of_work():
        store_forecasts({place_id: forecast})
    return forecast
