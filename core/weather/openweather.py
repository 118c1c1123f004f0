"""OpenWeather, which needs a key."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final

from pydantic import SecretStr

from core.weather.outbound import JsonClient, client_for
from core.weather.places import FoundPlace, PlaceWeather, Point
from core.weather.readings import (
    Columns,
    Readings,
    coordinate,
    country_code,
    forecast_of,
    number,
    required_text,
    text,
    text_or_none,
)
from core.weather.report import RequestRejected, WeatherReport

_STEP: Final = timedelta(hours=3)
_STEP_SECONDS: Final = _STEP // timedelta(seconds=1)
_KM_PER_HOUR: Final = 3.6
_PERCENT: Final = 100
_MOST_FOUND: Final = 5

# The codes of the WMO for OpenWeather's codes: https://openweathermap.org/weather-conditions
_CODES: Final = {
    **dict.fromkeys((200, 201, 202, 210, 211, 212, 221, 230, 231, 232), 95),
    **dict.fromkeys((300, 310), 51),
    **dict.fromkeys((301, 311, 313, 321), 53),
    **dict.fromkeys((302, 312, 314), 55),
    500: 61,
    501: 63,
    **dict.fromkeys((502, 503, 504), 65),
    511: 66,
    520: 80,
    521: 81,
    **dict.fromkeys((522, 531), 82),
    600: 71,
    601: 73,
    602: 75,
    **dict.fromkeys((611, 612, 613), 66),
    615: 71,
    616: 73,
    620: 85,
    **dict.fromkeys((621, 622), 86),
    **dict.fromkeys((701, 711, 721, 731, 741, 751, 761, 762), 45),
    800: 0,
    801: 1,
    802: 2,
    **dict.fromkeys((803, 804), 3),
}


class OpenWeather:
    """OpenWeather: five days in steps of three hours, and the current weather, with two requests for each point."""

    name: ClassVar[str] = "openweather"
    attribution: ClassVar[str] = "Weather data provided by OpenWeather (openweathermap.org)"
    points_per_call: ClassVar[int] = 1
    calls_per_point: ClassVar[int] = 2

    def __init__(self, url: str, api_key: SecretStr, seconds: float) -> None:
        url = url.rstrip("/")
        self._current = f"{url}/data/2.5/weather"
        self._steps = f"{url}/data/2.5/forecast"
        self._search = f"{url}/geo/1.0/direct"
        self._api_key = api_key
        self._seconds = seconds

    def search(self, name: str, limit: int, *, seconds: float | None = None) -> list[FoundPlace]:
        """Find places by their name, the best match first; OpenWeather finds at most five."""
        parameters = {"q": name, "limit": min(limit, _MOST_FOUND)} | self._key()
        with client_for(self.name, seconds or self._seconds) as client:
            try:
                found = client.get(self._search, parameters)
            except RequestRejected:
                # OpenWeather refuses a name such as "," with "Nothing to geocode". If this counted as a failure, such
                # names would stop the calls for everybody.
                return []
            return [self._found(place) for place in found[:limit]]

    def forecasts(self, points: Sequence[Point]) -> list[PlaceWeather | None]:
        """Fetch the weather of points; None for a point for which the provider has sent no steps."""
        with client_for(self.name, self._seconds) as client:
            return [self._weather(client, point) for point in points]

    def _key(self) -> dict[str, str]:
        return {"appid": self._api_key.get_secret_value()}

    def _found(self, place: Mapping[str, Any]) -> FoundPlace:
        latitude, longitude = coordinate(place["lat"], 90), coordinate(place["lon"], 180)
        return FoundPlace(
            # The provider has no ids for the places that it finds.
            reference=f"{self.name}:{latitude:.4f},{longitude:.4f}",
            name=required_text(place["name"]),
            region=text_or_none(place.get("state")),
            country=None,
            country_code=country_code(place.get("country")),
            latitude=latitude,
            longitude=longitude,
            timezone=None,
            population=None,
        )

    def _weather(self, client: JsonClient, point: Point) -> PlaceWeather | None:
        parameters = {"lat": point.latitude, "lon": point.longitude, "units": "metric"} | self._key()
        now = client.get(self._current, parameters)
        steps = client.get(self._steps, parameters)["list"]
        if not steps:
            return None
        before = {int(step["dt"]): _before(step) for step in steps}
        at: dict[int, Readings] = {int(step["dt"]): _at(step) for step in steps}
        # The first item is for the end of the step that is running now, and so has the rain of this step.
        at[min(at) - _STEP_SECONDS] = _at(now)
        forecast = forecast_of(self.name, _STEP, _columns(at), _columns(before), datetime.now(UTC))
        return PlaceWeather(self._report(point, now), forecast)

    def _report(self, point: Point, document: Mapping[str, Any]) -> WeatherReport | None:
        try:
            return WeatherReport(
                temperature=number(document["main"]["temp"]),
                feels_like=number(document["main"]["feels_like"]),
                condition=text(document["weather"][0]["description"]),
                humidity=int(number(document["main"]["humidity"])),
                wind_speed=number(document["wind"]["speed"]),
                location=text(point.location),
                provider=self.name,
                fetched_at=datetime.now(UTC),
            )
        except (KeyError, IndexError, TypeError, ValueError):
            return None


def _at(step: Mapping[str, Any]) -> Readings:
    """Return what a step says about its time."""
    main, wind, weather = step.get("main") or {}, step.get("wind") or {}, step.get("weather") or [{}]
    return {
        "temperature": main.get("temp"),
        "feels_like": main.get("feels_like"),
        "weather_code": _CODES.get(weather[0].get("id")),
        "wind": _times(wind.get("speed"), _KM_PER_HOUR),
        "gusts": _times(wind.get("gust"), _KM_PER_HOUR),
    }


def _before(step: Mapping[str, Any]) -> Readings:
    """Return what a step says about the three hours before its time. Without rain and snow it is dry."""
    amounts = [(step.get(kind) or {}).get("3h", 0) for kind in ("rain", "snow")]
    return {
        "rain_probability": _times(step.get("pop"), _PERCENT),
        "rain": None if None in amounts else sum(amounts),
    }


def _times(value: Any, factor: float) -> float | None:
    return value * factor if isinstance(value, int | float) else None


def _columns(rows: Mapping[int, Readings]) -> Columns:
    """Return the values of times as columns; all rows have the same series."""
    names = next(iter(rows.values()))
    return {name: {time: row[name] for time, row in rows.items()} for name in names}
