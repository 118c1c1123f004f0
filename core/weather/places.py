"""Places that a provider finds by their names, and points on the earth."""

from dataclasses import dataclass

from core.weather.forecast import Forecast
from core.weather.report import WeatherReport


@dataclass(frozen=True, slots=True)
class Point:
    """A point on the earth, in degrees. `location` is what a report calls it."""

    latitude: float
    longitude: float
    location: str = ""


@dataclass(frozen=True, slots=True)
class FoundPlace:
    """A place that a provider has found; None where the provider says nothing.

    `reference` is unique over all providers. `country_code` is one of ISO 3166-1, and `timezone` is a name of the IANA
    time zone database.
    """

    reference: str
    name: str
    region: str | None
    country: str | None
    country_code: str | None
    latitude: float
    longitude: float
    timezone: str | None
    population: int | None

    @property
    def point(self) -> Point:
        """The point of the place."""
        return Point(
            self.latitude, self.longitude, ", ".join(filter(None, (self.name, self.country or self.country_code)))
        )


@dataclass(frozen=True, slots=True)
class PlaceWeather:
    """The weather of a point: now, if the provider has sent it completely, and the forecast."""

    current: WeatherReport | None
    forecast: Forecast
