"""A weather server on loopback that sends made-up weather in the JSON of Open-Meteo.

It understands what `core.weather.open_meteo` asks for: times as numbers, in GMT, and the usual units.
"""

import json
import threading
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from operator import attrgetter
from typing import Any, Final, Self
from urllib.parse import parse_qs, urlsplit

from core.demo.climate import NAMESAKES, PLACES, Conditions, Place, conditions
from core.weather import city_key

Query = dict[str, str]

Document = dict[str, Any] | list[dict[str, Any]]

_NOT_FOUND: Final[tuple[int, Document]] = (404, {"error": True, "reason": "Not Found"})
_NOT_VALID: Final[tuple[int, Document]] = (400, {"error": True, "reason": "A parameter is missing or not valid."})
_ALL_PLACES: Final = PLACES + NAMESAKES
_HOUR: Final = timedelta(hours=1)
_USUAL_COUNT: Final = 10
_SHORT: Final = 2


@dataclass(frozen=True, slots=True)
class _Value:
    """How Open-Meteo sends one kind of value: its unit, and whether it is that of the hour before its time."""

    of: Callable[[Conditions], float]
    unit: str
    is_of_hour_before: bool = False


# The names and units of https://open-meteo.com/en/docs.
_VALUES: Final = {
    "temperature_2m": _Value(attrgetter("temperature"), "°C"),
    "apparent_temperature": _Value(attrgetter("feels_like"), "°C"),
    "relative_humidity_2m": _Value(attrgetter("humidity"), "%"),
    "precipitation_probability": _Value(attrgetter("rain_probability"), "%", is_of_hour_before=True),
    "precipitation": _Value(attrgetter("rain"), "mm", is_of_hour_before=True),
    "weather_code": _Value(attrgetter("weather_code"), "wmo code"),
    "wind_speed_10m": _Value(attrgetter("wind"), "km/h"),
    "wind_gusts_10m": _Value(attrgetter("gusts"), "km/h", is_of_hour_before=True),
}


class DemoWeather:
    """The server. As a context manager it serves in a thread until the block ends."""

    def __init__(self) -> None:
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.1,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    @property
    def url(self) -> str:
        """The address, which is the one of the forecasts and of the search for cities."""
        return f"http://127.0.0.1:{self._http.server_port}"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        address = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        route = _ROUTES.get(address.path)
        try:
            status, document = (200, route(query)) if route else _NOT_FOUND
        except (KeyError, ValueError):
            status, document = _NOT_VALID
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Write nothing: the worker logs what it asks for."""


def _search(query: Query) -> dict[str, Any]:
    found = _found(query["name"])[: int(query.get("count", _USUAL_COUNT))]
    document: dict[str, Any] = {"generationtime_ms": 0.1}
    return document | {"results": [_described(place) for place in found]} if found else document


def _found(name: str) -> list[Place]:
    """Return the places that have a name, or, if it has three characters, begin with it; the largest ones first."""
    wanted = _without_accents(name)
    names = [(_without_accents(place.name), place) for place in _ALL_PLACES]
    found = [place for known, place in names if known == wanted or (len(wanted) > _SHORT and known.startswith(wanted))]
    return sorted(found, key=lambda place: -place.population)


def _without_accents(name: str) -> str:
    return "".join(each for each in unicodedata.normalize("NFKD", city_key(name)) if not unicodedata.combining(each))


def _described(place: Place) -> dict[str, Any]:
    return {
        "id": place.id,
        "name": place.name,
        "latitude": place.latitude,
        "longitude": place.longitude,
        "country_code": place.code,
        "timezone": place.timezone,
        "population": place.population,
        "country": place.country,
        "admin1": place.region,
    }


def _forecast(query: Query) -> Document:
    latitudes, longitudes = ([float(each) for each in query[name].split(",")] for name in ("latitude", "longitude"))
    points = zip(latitudes, longitudes, strict=True)
    documents = [_forecast_of_point(latitude, longitude, query) for latitude, longitude in points]
    # For one point the document stands by itself, without a list.
    return documents if len(documents) > 1 else documents[0]


def _forecast_of_point(latitude: float, longitude: float, query: Query) -> dict[str, Any]:
    place = min(_ALL_PLACES, key=lambda each: abs(each.latitude - latitude) + abs(each.longitude - longitude))
    now = datetime.now(UTC)
    current, hourly = (query[name].split(",") for name in ("current", "hourly"))
    return {
        "latitude": place.latitude,
        "longitude": place.longitude,
        "utc_offset_seconds": 0,
        "timezone": "GMT",
        "current_units": {name: _VALUES[name].unit for name in current},
        "current": _now(place, now.replace(minute=0, second=0, microsecond=0), current),
        "hourly_units": {"time": "unixtime"} | {name: _VALUES[name].unit for name in hourly},
        "hourly": _hours(place, now.replace(hour=0, minute=0, second=0, microsecond=0), hourly, query),
    }


def _now(place: Place, hour: datetime, names: list[str]) -> dict[str, Any]:
    weather = conditions(place, hour)
    return {"time": int(hour.timestamp()), "interval": 3600} | {name: _VALUES[name].of(weather) for name in names}


def _hours(place: Place, midnight: datetime, names: list[str], query: Query) -> dict[str, list[Any]]:
    """Return the values of all hours, and first their times."""
    times = [midnight + number * _HOUR for number in range(24 * int(query["forecast_days"]))]
    weather = {time: conditions(place, time) for time in (midnight - _HOUR, *times)}
    columns: dict[str, list[Any]] = {"time": [int(time.timestamp()) for time in times]}
    for name in names:
        value = _VALUES[name]
        columns[name] = [value.of(weather[time - _HOUR if value.is_of_hour_before else time]) for time in times]
    return columns


_ROUTES: Final[dict[str, Callable[[Query], Document]]] = {"/v1/search": _search, "/v1/forecast": _forecast}
