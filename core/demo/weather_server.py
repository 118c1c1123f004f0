"""A weather server on loopback that sends made-up weather in the JSON of Open-Meteo."""

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self
from urllib.parse import parse_qs, urlsplit

from core.demo.climate import PLACES, Place, conditions
from core.weather import city_key

Query = dict[str, str]

_KILOMETRES_PER_HOUR: Final = 3.6


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
            status, document = (200, route(query)) if route else (404, {"error": True, "reason": "Not Found"})
        except (KeyError, ValueError):
            status, document = 400, {"error": True, "reason": "A parameter is missing or not valid."}
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Write nothing: the worker logs what it asks for."""


def _search(query: Query) -> dict[str, Any]:
    wanted = city_key(query["name"])
    found = [place for place in PLACES if city_key(place.name) == wanted]
    document: dict[str, Any] = {"generationtime_ms": 0.1}
    return document | {"results": [_described(place) for place in found]} if found else document


def _described(place: Place) -> dict[str, Any]:
    return {
        "id": PLACES.index(place) + 1,
        "name": place.name,
        "latitude": place.latitude,
        "longitude": place.longitude,
        "country": place.country,
        "country_code": place.code,
        "timezone": "UTC",
    }


def _forecast(query: Query) -> dict[str, Any]:
    latitude, longitude = float(query["latitude"]), float(query["longitude"])
    place = min(PLACES, key=lambda each: abs(each.latitude - latitude) + abs(each.longitude - longitude))
    now = datetime.now(UTC)
    weather = conditions(place, now)
    in_metres = query.get("wind_speed_unit") == "ms"
    return {
        "latitude": place.latitude,
        "longitude": place.longitude,
        "timezone": "UTC",
        "current_units": {"temperature_2m": "°C", "wind_speed_10m": "m/s" if in_metres else "km/h"},
        "current": {
            "time": f"{now:%Y-%m-%dT%H:00}",
            "interval": 900,
            "temperature_2m": weather.temperature,
            "apparent_temperature": weather.feels_like,
            "relative_humidity_2m": weather.humidity,
            "weather_code": weather.code,
            "wind_speed_10m": weather.wind if in_metres else round(weather.wind * _KILOMETRES_PER_HOUR, 1),
        },
    }


_ROUTES: Final[dict[str, Callable[[Query], dict[str, Any]]]] = {"/v1/search": _search, "/v1/forecast": _forecast}
