"""The places of the weather server of the tests, and the weather there hour by hour."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

HOUR: Final = timedelta(hours=1)
FORECAST_HOURS: Final = 16 * 24

Values = dict[str, float | None]
"""The weather of one hour by the names of the series of `core.weather.forecast.Forecast`, and in their units."""


@dataclass(frozen=True)
class DoublePlace:
    """A place: °C, %, a WMO code, and m/s."""

    id: int
    name: str
    region: str | None
    country: str | None
    code: str | None
    latitude: float
    longitude: float
    timezone: str
    population: int | None
    temperature: float
    feels_like: float
    humidity: int
    weather_code: int
    wind: float

    @property
    def values(self) -> Values:
        """The weather of every hour in which nothing else is expected."""
        return {
            "temperature": self.temperature,
            "feels_like": self.feels_like,
            "rain_probability": 10,
            "rain": 0.0,
            "weather_code": self.weather_code,
            "wind": round(self.wind * 3.6, 1),
            "gusts": round(self.wind * 6, 1),
        }


PLACES: Final = [
    DoublePlace(
        2643743, "London", "England", "United Kingdom", "GB", 51.50853, -0.12574,
        "Europe/London", 8961989, 11.4, 10.2, 82, 61, 4.1,
    ),
    DoublePlace(
        6058560, "London", "Ontario", "Canada", "CA", 42.98339, -81.23304,
        "America/Toronto", 346765, 6.1, 3.0, 70, 3, 6.2,
    ),
    DoublePlace(
        2988507, "Paris", "Île-de-France", "France", "FR", 48.85341, 2.3488,
        "Europe/Paris", 2138551, 14.8, 14.1, 64, 2, 3.2,
    ),
    DoublePlace(
        4717560, "Paris", "Texas", "United States", "US", 33.66094, -95.55551,
        "America/Chicago", 24782, 27.3, 29.0, 55, 1, 5.0,
    ),
    DoublePlace(
        2950159, "Berlin", "State of Berlin", "Germany", "DE", 52.52437, 13.41053,
        "Europe/Berlin", 3426354, 9.3, 7.0, 71, 3, 5.5,
    ),
    DoublePlace(
        2657896, "Zürich", "Zurich", "Switzerland", "CH", 47.36667, 8.55,
        "Europe/Zurich", 341730, 7.9, 6.6, 77, 45, 1.4,
    ),
    DoublePlace(
        3143244, "Oslo", "Oslo", "Norway", "NO", 59.91273, 10.74609,
        "Europe/Oslo", 580000, -3.2, -8.1, 88, 73, 3.9,
    ),
    DoublePlace(
        3117735, "Madrid", "Madrid", "Spain", "ES", 40.4165, -3.70256,
        "Europe/Madrid", 3255944, 21.7, 21.0, 38, 0, 2.2,
    ),
    DoublePlace(
        5368361, "Los Angeles", "California", "United States", "US", 34.05223, -118.24368,
        "America/Los_Angeles", 3971883, 19.5, 19.2, 60, 0, 2.9,
    ),
    DoublePlace(
        2193733, "Auckland", "Auckland", "New Zealand", "NZ", -36.84853, 174.76349,
        "Pacific/Auckland", 417910, 15.2, 14.6, 74, 80, 6.8,
    ),
]  # fmt: skip

OPENWEATHER_IDS: Final[dict[float | None, int]] = {
    0: 800,
    1: 801,
    2: 802,
    3: 804,
    45: 741,
    61: 500,
    63: 501,
    65: 502,
    73: 601,
    80: 520,
    82: 522,
    95: 211,
}
"""What OpenWeather calls some of the codes of the WMO."""

_GENERATED: Final = re.compile(r"city (\d{1,6})")
_FIRST_GENERATED_ID: Final = 90_000_000
_GENERATED_IN_A_ROW: Final = 1000


def find_places(name: str) -> list[DoublePlace]:
    """Return the places with a name, the largest first. Every "City 123" exists, and nothing else is known."""
    wanted = " ".join(name.casefold().split())
    if generated := _GENERATED.fullmatch(wanted):
        return [_generated_city(int(generated[1]))]
    found = [place for place in PLACES if place.name.casefold() == wanted]
    return sorted(found, key=lambda place: -(place.population or 0))


def place_at(latitude: float, longitude: float) -> DoublePlace:
    """Return the place at a point. Every other point has weather too."""
    for place in PLACES:
        if math.isclose(place.latitude, latitude, abs_tol=0.01) and math.isclose(
            place.longitude, longitude, abs_tol=0.01
        ):
            return place
    column, row = round((latitude + 60) * 10), round((longitude + 170) * 10)
    return _generated_city(row * _GENERATED_IN_A_ROW + column)


def _generated_city(number: int) -> DoublePlace:
    row, column = divmod(number, _GENERATED_IN_A_ROW)
    temperature = round(number % 37 - 5 + number % 10 / 10, 1)
    return DoublePlace(
        id=_FIRST_GENERATED_ID + number,
        name=f"City {number}",
        region=None,
        country="Testland",
        code=None,
        latitude=round(-60 + column / 10, 1),
        longitude=round(-170 + row / 10, 1),
        timezone="UTC",
        population=None,
        temperature=temperature,
        feels_like=temperature - 1.5,
        humidity=40 + number % 60,
        weather_code=(0, 1, 2, 3, 61, 80)[number % 6],
        wind=number % 12 + 0.5,
    )


def hours_of(place: DoublePlace, expected: dict[datetime, Values | None]) -> Iterator[tuple[datetime, Values | None]]:
    """Yield the hours from the last midnight (UTC) on with their weather, and None for an hour that is to be left out.

    `expected` has what differs from the weather that the place always has.
    """
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    usual = place.values
    for number in range(FORECAST_HOURS + 1):
        hour = midnight + number * HOUR
        if hour in expected:
            other = expected[hour]
            yield hour, None if other is None else usual | other
        else:
            yield hour, usual


def open_meteo_place(place: DoublePlace) -> dict[str, Any]:
    """Return a result of the search of Open-Meteo; what is not known is left out, as there."""
    document = {
        "id": place.id,
        "name": place.name,
        "latitude": place.latitude,
        "longitude": place.longitude,
        "elevation": 38.0,
        "feature_code": "PPL",
        "country_code": place.code,
        "timezone": place.timezone,
        "population": place.population,
        "country": place.country,
        "admin1": place.region,
    }
    return {name: value for name, value in document.items() if value is not None}


def openweather_place(place: DoublePlace) -> dict[str, Any]:
    """Return a result of the search of OpenWeather."""
    document = {
        "name": place.name,
        "local_names": {"en": place.name},
        "lat": place.latitude,
        "lon": place.longitude,
        "country": place.code,
        "state": place.region,
    }
    return {name: value for name, value in document.items() if value is not None}
