"""Made-up weather of real cities: it follows the season and the time of day, and is the same for the same hour."""

import math
import random
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

_HOURS_OF_DAY: Final = 24
_DAYS_OF_YEAR: Final = 365.25
_COLDEST_DAY: Final = 20
_WARMEST_HOUR: Final = 15
_DAILY_SWING: Final = 4.0
_FREEZING: Final = 1.0

# Codes of WMO table 4677, from the best to the worst weather; where it freezes, rain is snow.
_SKIES: Final = (0, 1, 2, 2, 3, 3, 3, 45, 51, 61, 61, 63, 80, 95)
_SNOW_FOR_RAIN: Final = {51: 71, 61: 71, 63: 73, 80: 85, 95: 75}


@dataclass(frozen=True, slots=True)
class Place:
    """A city: its mean temperature over the year, and by how much summer and winter differ from it, in °C."""

    name: str
    country: str
    code: str
    latitude: float
    longitude: float
    mean: float
    swing: float


PLACES: Final = (
    Place("Amsterdam", "Netherlands", "NL", 52.37403, 4.88969, 10.5, 7.5),
    Place("Athens", "Greece", "GR", 37.98376, 23.72784, 18.5, 9.5),
    Place("Barcelona", "Spain", "ES", 41.38879, 2.15899, 16.5, 7.5),
    Place("Bergen", "Norway", "NO", 60.39299, 5.32415, 7.8, 6.8),
    Place("Berlin", "Germany", "DE", 52.52437, 13.41053, 10.0, 9.8),
    Place("Cape Town", "South Africa", "ZA", -33.92584, 18.42322, 16.8, 4.5),
    Place("Copenhagen", "Denmark", "DK", 55.67594, 12.56553, 9.1, 8.6),
    Place("Dublin", "Ireland", "IE", 53.33306, -6.24889, 9.8, 5.2),
    Place("Helsinki", "Finland", "FI", 60.16952, 24.93545, 6.3, 11.5),
    Place("Lisbon", "Portugal", "PT", 38.71667, -9.13333, 17.3, 5.8),
    Place("London", "United Kingdom", "GB", 51.50853, -0.12574, 11.3, 6.8),
    Place("Madrid", "Spain", "ES", 40.4165, -3.70256, 15.0, 10.0),
    Place("Melbourne", "Australia", "AU", -37.814, 144.96332, 15.6, 5.5),
    Place("New York", "United States", "US", 40.71427, -74.00597, 12.9, 12.3),
    Place("Oslo", "Norway", "NO", 59.91273, 10.74609, 6.6, 11.0),
    Place("Paris", "France", "FR", 48.85341, 2.3488, 12.3, 8.0),
    Place("Reykjavík", "Iceland", "IS", 64.13548, -21.89541, 5.1, 5.6),
    Place("Rome", "Italy", "IT", 41.89193, 12.51133, 16.0, 8.5),
    Place("Stockholm", "Sweden", "SE", 59.32938, 18.06871, 7.4, 10.4),
    Place("Tokyo", "Japan", "JP", 35.6895, 139.69171, 15.8, 10.8),
    Place("Vienna", "Austria", "AT", 48.20849, 16.37208, 11.4, 10.5),
    Place("Zürich", "Switzerland", "CH", 47.36667, 8.55, 9.6, 9.4),
)


@dataclass(frozen=True, slots=True)
class Conditions:
    """The weather at a place: temperatures in °C, humidity in %, a WMO code, wind in m/s."""

    temperature: float
    feels_like: float
    humidity: int
    code: int
    wind: float


def conditions(place: Place, moment: datetime) -> Conditions:
    """Return the weather of the hour of `moment`, always the same for the same place and hour."""
    moment = moment.astimezone(UTC)
    chance = random.Random(f"{place.name} {moment:%Y-%m-%d}")  # noqa: S311 - this is weather, not a secret.
    # The weather of one day is of one kind, and its hours differ a little from each other.
    quality = chance.random()
    drift = chance.uniform(-4, 4)
    chance = random.Random(f"{place.name} {moment:%Y-%m-%d %H}")  # noqa: S311 - see above.
    quality = min(max(quality + chance.uniform(-0.08, 0.08), 0.0), 0.999)
    temperature = round(_usual_temperature(place, moment) + drift + chance.uniform(-0.8, 0.8), 1)
    code = _SKIES[int(quality * len(_SKIES))]
    wind = round(1.0 + 9.0 * quality * chance.uniform(0.6, 1.2), 1)
    return Conditions(
        temperature=temperature,
        feels_like=round(temperature - 0.4 * wind, 1),
        humidity=min(99, round(45 + 45 * quality + chance.uniform(-5, 5))),
        code=_SNOW_FOR_RAIN.get(code, code) if temperature < _FREEZING else code,
        wind=wind,
    )


def _usual_temperature(place: Place, moment: datetime) -> float:
    is_southern = place.latitude < 0
    day = moment.timetuple().tm_yday - _COLDEST_DAY
    season = -math.cos(2 * math.pi * day / _DAYS_OF_YEAR) * (-1 if is_southern else 1)
    # The sun is where the longitude says, whatever time people use there.
    hour = moment.hour + place.longitude / 15 - _WARMEST_HOUR
    return place.mean + place.swing * season + _DAILY_SWING * math.cos(2 * math.pi * hour / _HOURS_OF_DAY)
