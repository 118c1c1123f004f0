"""Made-up weather of real cities: it follows the season and the time of day, and is the same for the same hour."""

import math
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from core.weather.forecast import Forecast

FORECAST_DAYS: Final = 16

_HOUR: Final = timedelta(hours=1)
_HOURS_OF_DAY: Final = 24
_DAYS_OF_YEAR: Final = 365.25
_COLDEST_DAY: Final = 20
_WARMEST_HOUR: Final = 15
_DAILY_SWING: Final = 4.0
_FREEZING: Final = 1.0
_DRY_QUALITY: Final = 0.3
_KILOMETRES_PER_HOUR: Final = 3.6

# Codes of WMO table 4677, from the best to the worst weather; where it freezes, rain is snow.
_SKIES: Final = (0, 1, 2, 2, 3, 3, 3, 45, 51, 61, 61, 63, 80, 95)
_RAIN_OF_SKY: Final = {51: 0.2, 61: 0.8, 63: 2.4, 80: 3.0, 95: 5.0}
_SNOW_FOR_RAIN: Final = {51: 71, 61: 71, 63: 73, 80: 85, 95: 75}


@dataclass(frozen=True, slots=True)
class Place:
    """A city with its id at GeoNames: the mean temperature over the year, and how far summer is from it, in °C."""

    id: int
    name: str
    region: str
    country: str
    code: str
    latitude: float
    longitude: float
    timezone: str
    population: int
    mean: float
    swing: float


PLACES: Final = (
    Place(2759794, "Amsterdam", "North Holland", "Netherlands", "NL", 52.37403, 4.88969,
          "Europe/Amsterdam", 741636, 10.5, 7.5),
    Place(264371, "Athens", "Attica", "Greece", "GR", 37.98376, 23.72784, "Europe/Athens", 664046, 18.5, 9.5),
    Place(3128760, "Barcelona", "Catalonia", "Spain", "ES", 41.38879, 2.15899, "Europe/Madrid", 1620343, 16.5, 7.5),
    Place(3161732, "Bergen", "Vestland", "Norway", "NO", 60.39299, 5.32415, "Europe/Oslo", 213585, 7.8, 6.8),
    Place(2950159, "Berlin", "State of Berlin", "Germany", "DE", 52.52437, 13.41053,
          "Europe/Berlin", 3426354, 10.0, 9.8),
    Place(3369157, "Cape Town", "Western Cape", "South Africa", "ZA", -33.92584, 18.42322,
          "Africa/Johannesburg", 3433441, 16.8, 4.5),
    Place(2618425, "Copenhagen", "Capital Region", "Denmark", "DK", 55.67594, 12.56553,
          "Europe/Copenhagen", 1153615, 9.1, 8.6),
    Place(2964574, "Dublin", "Leinster", "Ireland", "IE", 53.33306, -6.24889, "Europe/Dublin", 1024027, 9.8, 5.2),
    Place(658225, "Helsinki", "Uusimaa", "Finland", "FI", 60.16952, 24.93545, "Europe/Helsinki", 658457, 6.3, 11.5),
    Place(2267057, "Lisbon", "Lisbon", "Portugal", "PT", 38.71667, -9.13333, "Europe/Lisbon", 517802, 17.3, 5.8),
    Place(2643743, "London", "England", "United Kingdom", "GB", 51.50853, -0.12574,
          "Europe/London", 8961989, 11.3, 6.8),
    Place(3117735, "Madrid", "Madrid", "Spain", "ES", 40.4165, -3.70256, "Europe/Madrid", 3255944, 15.0, 10.0),
    Place(2158177, "Melbourne", "Victoria", "Australia", "AU", -37.814, 144.96332,
          "Australia/Melbourne", 4917750, 15.6, 5.5),
    Place(5128581, "New York", "New York", "United States", "US", 40.71427, -74.00597,
          "America/New_York", 8804190, 12.9, 12.3),
    Place(3143244, "Oslo", "Oslo", "Norway", "NO", 59.91273, 10.74609, "Europe/Oslo", 580000, 6.6, 11.0),
    Place(2988507, "Paris", "Île-de-France", "France", "FR", 48.85341, 2.3488, "Europe/Paris", 2138551, 12.3, 8.0),
    Place(3413829, "Reykjavík", "Capital Region", "Iceland", "IS", 64.13548, -21.89541,
          "Atlantic/Reykjavik", 118918, 5.1, 5.6),
    Place(3169070, "Rome", "Lazio", "Italy", "IT", 41.89193, 12.51133, "Europe/Rome", 2318895, 16.0, 8.5),
    Place(2673730, "Stockholm", "Stockholm", "Sweden", "SE", 59.32938, 18.06871,
          "Europe/Stockholm", 1515017, 7.4, 10.4),
    Place(1850147, "Tokyo", "Tokyo", "Japan", "JP", 35.6895, 139.69171, "Asia/Tokyo", 8336599, 15.8, 10.8),
    Place(2761369, "Vienna", "Vienna", "Austria", "AT", 48.20849, 16.37208, "Europe/Vienna", 1691468, 11.4, 10.5),
    Place(2657896, "Zürich", "Zurich", "Switzerland", "CH", 47.36667, 8.55, "Europe/Zurich", 341730, 9.6, 9.4),
)  # fmt: skip
"""The cities of the made-up tasks."""

NAMESAKES: Final = (
    Place(4180386, "Athens", "Georgia", "United States", "US", 33.96095, -83.37794,
          "America/New_York", 116714, 16.5, 10.0),
    Place(6058560, "London", "Ontario", "Canada", "CA", 42.98339, -81.23304, "America/Toronto", 346765, 8.5, 14.0),
    Place(4163971, "Melbourne", "Florida", "United States", "US", 28.08363, -80.60811,
          "America/New_York", 80127, 22.5, 5.5),
    Place(4717560, "Paris", "Texas", "United States", "US", 33.66094, -95.55551,
          "America/Chicago", 24782, 17.5, 10.5),
)  # fmt: skip
"""Smaller cities of the same names, which a search finds too."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """The weather of one hour at a place: °C, humidity and probability of rain in %, mm, a WMO code, and km/h."""

    temperature: float
    feels_like: float
    humidity: int
    rain_probability: int
    rain: float
    weather_code: int
    wind: float
    gusts: float

    @property
    def wind_speed(self) -> float:
        """The wind in m/s, the unit of reports."""
        return round(self.wind / _KILOMETRES_PER_HOUR, 1)


def conditions(place: Place, moment: datetime) -> Conditions:
    """Return the weather of the hour of `moment`, always the same for the same place and hour."""
    moment = moment.astimezone(UTC)
    chance = random.Random(f"{place.id} {moment:%Y-%m-%d}")  # noqa: S311 - this is weather, not a secret.
    # The weather of one day is of one kind, and its hours differ a little from each other.
    quality = chance.random()
    drift = chance.uniform(-4, 4)
    chance = random.Random(f"{place.id} {moment:%Y-%m-%d %H}")  # noqa: S311 - see above.
    quality = min(max(quality + chance.uniform(-0.08, 0.08), 0.0), 0.999)
    temperature = round(_usual_temperature(place, moment) + drift + chance.uniform(-0.8, 0.8), 1)
    code = _SKIES[int(quality * len(_SKIES))]
    wind = 1.0 + 9.0 * quality * chance.uniform(0.6, 1.2)
    return Conditions(
        temperature=temperature,
        feels_like=round(temperature - 0.4 * wind, 1),
        humidity=min(99, round(45 + 45 * quality + chance.uniform(-5, 5))),
        rain_probability=max(0, round(130 * (quality - _DRY_QUALITY))),
        rain=round(_RAIN_OF_SKY.get(code, 0.0) * chance.uniform(0.5, 1.5), 1),
        weather_code=_SNOW_FOR_RAIN.get(code, code) if temperature < _FREEZING else code,
        wind=round(wind * _KILOMETRES_PER_HOUR, 1),
        gusts=round(wind * _KILOMETRES_PER_HOUR * chance.uniform(1.4, 1.9), 1),
    )


def forecast(place: Place, now: datetime, provider: str) -> Forecast:
    """Return what a provider would send at `now`: the hours of 16 days, from the beginning of this day in UTC.

    Of the last hour it does not know what such a provider sends at the end of an hour.
    """
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    hours = [conditions(place, midnight + number * _HOUR) for number in range(FORECAST_DAYS * _HOURS_OF_DAY)]
    known = hours[:-1]
    return Forecast(
        provider=provider,
        fetched_at=now,
        starts_at=midnight,
        step=_HOUR,
        temperature=tuple(hour.temperature for hour in hours),
        feels_like=tuple(hour.feels_like for hour in hours),
        rain_probability=(*(hour.rain_probability for hour in known), None),
        rain=(*(hour.rain for hour in known), None),
        weather_code=tuple(hour.weather_code for hour in hours),
        wind=tuple(hour.wind for hour in hours),
        gusts=(*(hour.gusts for hour in known), None),
    )


def _usual_temperature(place: Place, moment: datetime) -> float:
    is_southern = place.latitude < 0
    day = moment.timetuple().tm_yday - _COLDEST_DAY
    season = -math.cos(2 * math.pi * day / _DAYS_OF_YEAR) * (-1 if is_southern else 1)
    # The sun is where the longitude says, whatever time people use there.
    hour = moment.hour + place.longitude / 15 - _WARMEST_HOUR
    return place.mean + place.swing * season + _DAILY_SWING * math.cos(2 * math.pi * hour / _HOURS_OF_DAY)
