"""Open-Meteo, which needs no key. With a key it is the service for customers."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final

from pydantic import SecretStr

from core.weather.conditions import CONDITIONS
from core.weather.outbound import client_for
from core.weather.places import FoundPlace, PlaceWeather, Point
from core.weather.readings import (
    Columns,
    SeriesName,
    coordinate,
    country_code,
    forecast_of,
    number,
    required_text,
    text,
    text_or_none,
    timezone,
    whole_number,
)
from core.weather.report import WeatherReport

FREE_HOSTS: Final = ("https://api.open-meteo.com", "https://geocoding-api.open-meteo.com")
CUSTOMERS_HOSTS: Final = ("https://customer-api.open-meteo.com", "https://customer-geocoding-api.open-meteo.com")
"""The hosts of forecasts and of the search: those that anybody may use, and those for whoever has a key."""

_FORECAST_DAYS: Final = 16
_HOUR: Final = timedelta(hours=1)
_KM_PER_HOUR: Final = 3.6
# A place has about 18,000 bytes of hours and 2,000 of everything else, and a list of postcodes has some thousands.
_BYTES_OF_POINT: Final = 32 * 1024
_BYTES_OF_SEARCH: Final = 256 * 1024

_CURRENT: Final = "temperature_2m,apparent_temperature,relative_humidity_2m,weather_code,wind_speed_10m"
# What the provider gives for the time itself, and what it gives for the hour before the time.
_AT: Final[dict[str, SeriesName]] = {
    "temperature_2m": "temperature",
    "apparent_temperature": "feels_like",
    "weather_code": "weather_code",
    "wind_speed_10m": "wind",
}
_BEFORE: Final[dict[str, SeriesName]] = {
    "precipitation_probability": "rain_probability",
    "precipitation": "rain",
    "wind_gusts_10m": "gusts",
}


class OpenMeteo:
    """Open-Meteo: one request finds places by a name, and another one brings the weather of many points."""

    name: ClassVar[str] = "open-meteo"
    attribution: ClassVar[str] = "Weather data by Open-Meteo.com (CC BY 4.0)"
    points_per_call: ClassVar[int] = 100
    calls_per_point: ClassVar[int] = 1

    def __init__(self, forecast_url: str, geocoding_url: str, seconds: float, api_key: SecretStr | None = None) -> None:
        self._forecast = f"{forecast_url.rstrip('/')}/v1/forecast"
        self._search = f"{geocoding_url.rstrip('/')}/v1/search"
        self._seconds = seconds
        self._api_key = api_key

    def search(self, name: str, limit: int, *, seconds: float | None = None) -> list[FoundPlace]:
        """Find places by their name, the best match first."""
        parameters = {"name": name, "count": limit, "language": "en", "format": "json"} | self._key()
        with client_for(self.name, seconds or self._seconds) as client:
            document = client.get(self._search, parameters, max_bytes=_BYTES_OF_SEARCH)
            return [self._found(place) for place in document.get("results", [])[:limit]]

    def forecasts(self, points: Sequence[Point]) -> list[PlaceWeather | None]:
        """Fetch the weather of points; None for a point for which the provider has sent no hours."""
        parameters = {
            "latitude": ",".join(str(point.latitude) for point in points),
            "longitude": ",".join(str(point.longitude) for point in points),
            "current": _CURRENT,
            "hourly": ",".join((*_AT, *_BEFORE)),
            "forecast_days": _FORECAST_DAYS,
            "timezone": "GMT",
            "timeformat": "unixtime",
        }
        with client_for(self.name, self._seconds) as client:
            sent = client.get(self._forecast, parameters | self._key(), max_bytes=(1 + len(points)) * _BYTES_OF_POINT)
            fetched_at = datetime.now(UTC)
            # For one point the document stands by itself, without a list.
            documents = [sent] if isinstance(sent, dict) else sent
            return [
                self._weather(point, document, fetched_at) for point, document in zip(points, documents, strict=True)
            ]

    def _key(self) -> dict[str, str]:
        return {} if self._api_key is None else {"apikey": self._api_key.get_secret_value()}

    def _found(self, place: Mapping[str, Any]) -> FoundPlace:
        return FoundPlace(
            reference=f"{self.name}:{whole_number(place['id'])}",
            name=required_text(place["name"]),
            region=text_or_none(place.get("admin1")),
            country=text_or_none(place.get("country")),
            country_code=country_code(place.get("country_code")),
            latitude=coordinate(place["latitude"], 90),
            longitude=coordinate(place["longitude"], 180),
            timezone=timezone(place.get("timezone")),
            population=None if place.get("population") is None else whole_number(place["population"]),
        )

    def _weather(self, point: Point, document: Mapping[str, Any], fetched_at: datetime) -> PlaceWeather | None:
        hourly = document["hourly"]
        times = [int(time) for time in hourly["time"]]
        if not times:
            return None
        forecast = forecast_of(
            self.name, _HOUR, _columns(hourly, times, _AT), _columns(hourly, times, _BEFORE), fetched_at
        )
        return PlaceWeather(self._report(point, document.get("current"), fetched_at), forecast)

    def _report(self, point: Point, current: Any, fetched_at: datetime) -> WeatherReport | None:
        try:
            return WeatherReport(
                temperature=number(current["temperature_2m"]),
                feels_like=number(current["apparent_temperature"]),
                condition=CONDITIONS.get(int(number(current["weather_code"])), "unknown"),
                humidity=int(number(current["relative_humidity_2m"])),
                wind_speed=round(number(current["wind_speed_10m"]) / _KM_PER_HOUR, 1),
                location=text(point.location),
                provider=self.name,
                fetched_at=fetched_at,
            )
        except (KeyError, TypeError, ValueError):
            return None


def _columns(hourly: Mapping[str, Any], times: Sequence[int], names: Mapping[str, SeriesName]) -> Columns:
    """Return the columns of the document by the names of their series."""
    columns = {series: hourly.get(name) or [None] * len(times) for name, series in names.items()}
    return {series: dict(zip(times, column, strict=True)) for series, column in columns.items()}
