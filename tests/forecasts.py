"""Forecasts of fine weather, apart from the hours that a test makes worse, and places that have them."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from core.db import unit_of_work
from core.models.place import Place
from core.services.forecasts import store_forecasts
from core.weather.forecast import Forecast

HOUR: Final = timedelta(hours=1)
FINE: Final[dict[str, float]] = {
    "temperature": 18,
    "feels_like": 18,
    "rain_probability": 0,
    "rain": 0,
    "weather_code": 0,
    "wind": 5,
    "gusts": 10,
}


def fine_forecast(starts_at: datetime, hours: int, **bad: Mapping[int, float | None]) -> Forecast:
    """Return an hourly forecast of fine weather, apart from some values, by the numbers of the hours that have them."""
    series = {name: tuple(bad.get(name, {}).get(hour, value) for hour in range(hours)) for name, value in FINE.items()}
    return Forecast("open-meteo", starts_at, starts_at, HOUR, **series)


def create_place(forecast: Forecast | None = None) -> int:
    """Create a place that has this forecast and return its id."""
    with unit_of_work():
        place = Place.insert(reference="tests:1", name="Oslo", country_code="NO", latitude=59.9, longitude=10.7)
        place_id = int(place.execute())
        if forecast is not None:
            store_forecasts({place_id: forecast})
    return place_id
