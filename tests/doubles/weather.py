"""A weather server on loopback that sends the published JSON of Open-Meteo and of OpenWeather.

Tests use it in their own process. For a machine without internet it also runs by itself:
`python -m tests.doubles.weather --port 9000`.
"""

import argparse
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self
from urllib.parse import parse_qs, urlsplit

API_KEY: Final = "the-key-of-the-test-double"

# Name, country, latitude, longitude, °C, felt °C, humidity, WMO code, wind in m/s.
_PLACES: Final = [
    ("London", "United Kingdom", "GB", 51.50853, -0.12574, 11.4, 10.2, 82, 61, 4.1),
    ("Paris", "France", "FR", 48.85341, 2.3488, 14.8, 14.1, 64, 2, 3.2),
    ("Berlin", "Germany", "DE", 52.52437, 13.41053, 9.3, 7.0, 71, 3, 5.5),
    ("Zürich", "Switzerland", "CH", 47.36667, 8.55, 7.9, 6.6, 77, 45, 1.4),
    ("Oslo", "Norway", "NO", 59.91273, 10.74609, -3.2, -8.1, 88, 73, 3.9),
    ("Madrid", "Spain", "ES", 40.4165, -3.70256, 21.7, 21.0, 38, 0, 2.2),
]
_FIELDS: Final = "name country code latitude longitude temperature feels_like humidity weather_code wind".split()
_CITIES: Final = {place[0].casefold(): dict(zip(_FIELDS, place, strict=True)) for place in _PLACES}

Handler = BaseHTTPRequestHandler
Misbehavior = Callable[[Handler], None]


class WeatherServer:
    """The server. `requests` counts requests by path and city. If set, `misbehave` is called in place of a response."""

    def __init__(self, port: int = 0) -> None:
        server = self

        class _Handler(Handler):
            def do_GET(self) -> None:  # noqa: N802 - http.server requires this name.
                server.respond(self)

            def log_message(self, *_: object) -> None:
                """Keep the test output clean."""

        self._http = ThreadingHTTPServer(("127.0.0.1", port), _Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self.requests: Counter[tuple[str, str]] = Counter()
        self.queries: list[dict[str, str]] = []
        self.misbehave: Misbehavior | None = None
        self.closed_connections = threading.Semaphore(0)
        self.delay = 0.0
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    @property
    def down(self) -> bool:
        """Whether every request gets 503."""
        return self.misbehave is fail

    @down.setter
    def down(self, down: bool) -> None:
        self.misbehave = fail if down else None

    def respond(self, handler: Handler) -> None:
        """Send the response to one request."""
        address = urlsplit(handler.path)
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        with self._lock:
            self.requests[address.path, query.get("name") or query.get("q") or ""] += 1
            self.queries.append(query)
        time.sleep(self.delay)
        try:
            if self.misbehave is not None:
                self.misbehave(handler)
            else:
                _ROUTES[address.path](handler, query)
        except OSError:
            self.closed_connections.release()


def send(handler: Handler, status: int, document: Any) -> None:
    """Send a response with a JSON document."""
    content = json.dumps(document).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json; charset=utf-8")
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


def fail(handler: Handler) -> None:
    """Send the response of a service that is down."""
    send(handler, 503, {"reason": "down for maintenance"})


def _search(handler: Handler, query: dict[str, str]) -> None:
    place = _CITIES.get(query["name"].casefold())
    document: dict[str, Any] = {"generationtime_ms": 0.5}
    if place is not None:
        names = {name: place[name] for name in ("name", "latitude", "longitude", "country")}
        document["results"] = [{"id": 1, "country_code": place["code"], "timezone": "UTC"} | names]
    send(handler, 200, document)


def _forecast(handler: Handler, query: dict[str, str]) -> None:
    latitude = float(query["latitude"])
    place = next(place for place in _CITIES.values() if place["latitude"] == latitude)
    in_meters = query.get("wind_speed_unit") == "ms"
    send(
        handler,
        200,
        {
            "latitude": latitude,
            "longitude": place["longitude"],
            "timezone": "UTC",
            "current_units": {"temperature_2m": "°C", "wind_speed_10m": "m/s" if in_meters else "km/h"},
            "current": {
                "time": "2026-05-01T09:00",
                "interval": 900,
                "temperature_2m": place["temperature"],
                "apparent_temperature": place["feels_like"],
                "relative_humidity_2m": place["humidity"],
                "weather_code": place["weather_code"],
                "wind_speed_10m": place["wind"] if in_meters else place["wind"] * 3.6,
            },
        },
    )


def _current(handler: Handler, query: dict[str, str]) -> None:
    if query.get("appid") != API_KEY:
        send(handler, 401, {"cod": 401, "message": "Invalid API key."})
        return
    place = _CITIES.get(query["q"].casefold())
    if place is None:
        send(handler, 404, {"cod": "404", "message": "city not found"})
        return
    offset = 0.0 if query.get("units") == "metric" else 273.15
    send(
        handler,
        200,
        {
            "coord": {"lon": place["longitude"], "lat": place["latitude"]},
            "weather": [{"id": 500, "main": "Rain", "description": "light rain", "icon": "10d"}],
            "main": {
                "temp": place["temperature"] + offset,
                "feels_like": place["feels_like"] + offset,
                "pressure": 1012,
                "humidity": place["humidity"],
            },
            "wind": {"speed": place["wind"], "deg": 240},
            "sys": {"country": place["code"]},
            "name": place["name"],
            "cod": 200,
        },
    )


_ROUTES: Final = {"/v1/search": _search, "/v1/forecast": _forecast, "/data/2.5/weather": _current}


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=9000)
    with WeatherServer(parser.parse_args().port) as server:
        print(f"export OPEN_METEO_URL={server.url} OPEN_METEO_GEOCODING_URL={server.url}", flush=True)  # noqa: T201 - output for the terminal.
        print("Cities: " + ", ".join(place[0] for place in _PLACES), flush=True)  # noqa: T201 - output for the terminal.
        threading.Event().wait()


if __name__ == "__main__":
    main()
