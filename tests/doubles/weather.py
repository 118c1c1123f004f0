"""A weather server on loopback that sends the published JSON of Open-Meteo and of OpenWeather.

Tests use it in their own process. For a machine without internet it also runs by itself:
`python -m tests.doubles.weather --port 9000`.
"""

import argparse
import gzip
import json
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self
from urllib.parse import parse_qs, urlsplit

import orjson

from tests.doubles.weather_places import (
    FORECAST_HOURS,
    HOUR,
    OPENWEATHER_IDS,
    PLACES,
    DoublePlace,
    Values,
    find_places,
    hours_of,
    open_meteo_place,
    openweather_place,
    place_at,
)

API_KEY: Final = "the-key-of-the-test-double"

_MOST_POINTS: Final = 1000
_OPENWEATHER_STEPS: Final = 40
_STEP_HOURS: Final = 3

# Open-Meteo gives rain, its probability and gusts of the hour before the time, and the rest for the time itself.
_HOURLY: Final = {
    "temperature_2m": ("temperature", "°C", 0),
    "apparent_temperature": ("feels_like", "°C", 0),
    "precipitation_probability": ("rain_probability", "%", 1),
    "precipitation": ("rain", "mm", 1),
    "weather_code": ("weather_code", "wmo code", 0),
    "wind_speed_10m": ("wind", "km/h", 0),
    "wind_gusts_10m": ("gusts", "km/h", 1),
}

Handler = BaseHTTPRequestHandler
Misbehavior = Callable[[Handler], None]


class _ManyConnections(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


class WeatherServer:
    """The server.

    `requests` counts requests by path and city, and `points` counts the points of forecasts. If set, `misbehave` is
    called in place of a response. Each response is sent after `delay` seconds.

    `hourly` has the weather that tests expect, by the name of a city ("Paris, Texas" where several have the name) and
    by the beginning of the hour: `server.hourly["Oslo"][hour] = {"rain": 2.5}`. None in place of a value is sent as
    null, and an hour that is None is left out of the response. `expect()` sets the same values for several hours.
    """

    def __init__(self, port: int = 0) -> None:
        server = self

        class _Handler(Handler):
            def do_GET(self) -> None:  # noqa: N802 - http.server requires this name.
                server.respond(self)

            def log_message(self, *_: object) -> None:
                """Keep the test output clean."""

        self._http = _ManyConnections(("127.0.0.1", port), _Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self.requests: Counter[tuple[str, str]] = Counter()
        self.points = 0
        self.queries: list[dict[str, str]] = []
        self.hourly: defaultdict[str, dict[datetime, Values | None]] = defaultdict(dict)
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
    def calls(self) -> int:
        """How many requests there were."""
        return self.requests.total()

    @property
    def down(self) -> bool:
        """Whether every request gets 503."""
        return self.misbehave is fail

    @down.setter
    def down(self, down: bool) -> None:
        self.misbehave = fail if down else None

    def expect(self, city: str, start: datetime, end: datetime, **values: float | None) -> None:
        """Give each hour that overlaps a span these values, named as the series of a `Forecast`, in °C, %, mm, km/h."""
        hour = start.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        while hour < end:
            self.hourly[city][hour] = (self.hourly[city].get(hour) or {}) | values
            hour += HOUR

    def respond(self, handler: Handler) -> None:
        """Send the response to one request."""
        address = urlsplit(handler.path)
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        with self._lock:
            self.requests[address.path, query.get("name") or query.get("q") or ""] += 1
            self.points += len(query["latitude"].split(",")) if "latitude" in query else 0
            self.queries.append(query)
        time.sleep(self.delay)
        try:
            if self.misbehave is not None:
                self.misbehave(handler)
            elif respond := _ROUTES.get(address.path):
                respond(self, handler, query)
            else:
                send(handler, 404, {"error": True, "reason": "Not Found"})
        except OSError:
            self.closed_connections.release()

    def hours(self, place: DoublePlace) -> list[tuple[datetime, Values | None]]:
        """Return the weather of a place, hour by hour."""
        expected = self.hourly.get(f"{place.name}, {place.region}") or self.hourly.get(place.name) or {}
        return list(hours_of(place, expected))


def send(handler: Handler, status: int, document: Any, headers: dict[str, str] | None = None) -> None:
    """Send a response with a JSON document."""
    send_bytes(handler, status, json.dumps(document, ensure_ascii=False).encode(), headers)


def send_bytes(handler: Handler, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
    """Send a response, compressed if the client asks for it."""
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json; charset=utf-8")
    if "gzip" in handler.headers.get("Accept-Encoding", ""):
        content = gzip.compress(content, compresslevel=1)
        handler.send_header("Content-Encoding", "gzip")
    for name, value in (headers or {}).items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


def fail(handler: Handler) -> None:
    """Send the response of a service that is down."""
    send(handler, 503, {"reason": "down for maintenance"})


def refuse_for(seconds: int | str | None) -> Misbehavior:
    """Return what refuses requests as too many, with this `Retry-After` if there is one."""
    reason = "Minutely API request limit exceeded. Please try again in one minute."
    headers = {} if seconds is None else {"Retry-After": str(seconds)}
    return lambda handler: send(handler, 429, {"error": True, "reason": reason}, headers)


def send_half(handler: Handler) -> None:
    """Send the first half of a response, and close the connection."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json; charset=utf-8")
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"results":[{"id":2643743,"name":"London"')


def _search(_server: WeatherServer, handler: Handler, query: dict[str, str]) -> None:
    found = find_places(query["name"])[: int(query.get("count", 10))]
    document: dict[str, Any] = {"results": [open_meteo_place(place) for place in found]} if found else {}
    send(handler, 200, document | {"generationtime_ms": 0.5})


def _forecast(server: WeatherServer, handler: Handler, query: dict[str, str]) -> None:
    latitudes, longitudes = ([float(number) for number in query[name].split(",")] for name in ("latitude", "longitude"))
    unknown = set(filter(None, query.get("hourly", "").split(","))) - _HOURLY.keys()
    if len(latitudes) != len(longitudes) or len(latitudes) > _MOST_POINTS or unknown:
        send(handler, 400, {"error": True, "reason": "Parameter 'latitude', 'longitude' or 'hourly' is not valid."})
        return
    documents = [
        _forecast_of_point(server, latitude, longitude, query) | ({"location_id": number} if number else {})
        for number, (latitude, longitude) in enumerate(zip(latitudes, longitudes, strict=True))
    ]
    # A benchmark asks for many hours, which orjson writes faster. It would write NaN as null, but tests expect NaN.
    encoded = json.dumps(documents).encode() if server.hourly else orjson.dumps(documents)
    send_bytes(handler, 200, encoded if len(documents) > 1 else encoded[1:-1])


def _forecast_of_point(
    server: WeatherServer, latitude: float, longitude: float, query: dict[str, str]
) -> dict[str, Any]:
    place = place_at(latitude, longitude)
    document: dict[str, Any] = {
        # The coordinates are those of the middle of a cell of the model's grid.
        "latitude": round(latitude * 8) / 8,
        "longitude": round(longitude * 8) / 8,
        "generationtime_ms": 0.2,
        "utc_offset_seconds": 0,
        "timezone": query.get("timezone", "GMT"),
        "timezone_abbreviation": "GMT",
        "elevation": 38.0,
    }
    in_meters = query.get("wind_speed_unit") == "ms"
    if "current" in query:
        document["current_units"] = {"temperature_2m": "°C", "wind_speed_10m": "m/s" if in_meters else "km/h"}
        document["current"] = {
            "time": _time(datetime.now(UTC).replace(minute=0, second=0, microsecond=0), query),
            "interval": 900,
            "temperature_2m": place.temperature,
            "apparent_temperature": place.feels_like,
            "relative_humidity_2m": place.humidity,
            "weather_code": place.weather_code,
            "wind_speed_10m": place.wind if in_meters else round(place.wind * 3.6, 1),
        }
    if "hourly" in query:
        names = query["hourly"].split(",")
        document["hourly_units"] = {"time": query.get("timeformat", "iso8601")} | {
            name: _HOURLY[name][1] for name in names
        }
        document["hourly"] = _hourly(server.hours(place), names, query)
    return document


def _hourly(hours: list[tuple[datetime, Values | None]], names: list[str], query: dict[str, str]) -> dict[str, Any]:
    shown = min(int(query.get("forecast_days", 7)) * 24, FORECAST_HOURS)
    before = [(hours[0][0] - HOUR, hours[0][1]), *hours]
    numbers = [number for number in range(shown) if hours[number][1] is not None]
    columns: dict[str, Any] = {"time": [_time(hours[number][0], query) for number in numbers]}
    for name in names:
        series, _unit, is_of_hour_before = _HOURLY[name]
        source = before if is_of_hour_before else hours
        columns[name] = [values and values.get(series) for values in (source[number][1] for number in numbers)]
    return columns


def _time(instant: datetime, query: dict[str, str]) -> int | str:
    return int(instant.timestamp()) if query.get("timeformat") == "unixtime" else f"{instant:%Y-%m-%dT%H:%M}"


def _is_allowed(handler: Handler, query: dict[str, str]) -> bool:
    if query.get("appid") == API_KEY:
        return True
    send(handler, 401, {"cod": 401, "message": "Invalid API key."})
    return False


def _geo(_server: WeatherServer, handler: Handler, query: dict[str, str]) -> None:
    if _is_allowed(handler, query):
        found = find_places(query["q"])[: int(query.get("limit", 1))]
        send(handler, 200, [openweather_place(place) for place in found])


def _openweather_place(query: dict[str, str]) -> DoublePlace | None:
    if "q" in query:
        return next(iter(find_places(query["q"])), None)
    return place_at(float(query["lat"]), float(query["lon"]))


def _current(_server: WeatherServer, handler: Handler, query: dict[str, str]) -> None:
    if not _is_allowed(handler, query):
        return
    place = _openweather_place(query)
    if place is None:
        send(handler, 404, {"cod": "404", "message": "city not found"})
        return
    offset = 0.0 if query.get("units") == "metric" else 273.15
    send(
        handler,
        200,
        {
            "coord": {"lon": place.longitude, "lat": place.latitude},
            "weather": [{"id": 500, "main": "Rain", "description": "light rain", "icon": "10d"}],
            "main": {
                "temp": place.temperature + offset,
                "feels_like": place.feels_like + offset,
                "pressure": 1012,
                "humidity": place.humidity,
            },
            "wind": {"speed": place.wind, "deg": 240},
            "dt": int(datetime.now(UTC).timestamp()),
            "sys": {"country": place.code},
            "timezone": 0,
            "name": place.name,
            "cod": 200,
        },
    )


def _steps(server: WeatherServer, handler: Handler, query: dict[str, str]) -> None:
    if not _is_allowed(handler, query):
        return
    place = place_at(float(query["lat"]), float(query["lon"]))
    hours = dict(server.hours(place))
    first = min(hours) + timedelta(hours=(datetime.now(UTC).hour // _STEP_HOURS + 1) * _STEP_HOURS)
    steps = [_step(hours, first + number * _STEP_HOURS * HOUR) for number in range(_OPENWEATHER_STEPS)]
    city = {"id": place.id, "name": place.name, "country": place.code, "timezone": 0}
    listed = [step for step in steps if step is not None]
    send(handler, 200, {"cod": "200", "message": 0, "cnt": len(listed), "list": listed, "city": city})


def _step(hours: dict[datetime, Values | None], at: datetime) -> dict[str, Any] | None:
    """Return a step in m/s and fractions; the rain and its probability are those of the three hours before."""
    values = hours.get(at)
    if values is None:
        return None
    before = [hours.get(at - number * HOUR) or {} for number in range(1, _STEP_HOURS + 1)]
    rain = [value for value in (hour.get("rain") for hour in before) if value is not None]
    chances = [value for value in (hour.get("rain_probability") for hour in before) if value is not None]
    temperature, feels_like, wind, gusts = (values[name] for name in ("temperature", "feels_like", "wind", "gusts"))
    return {
        "dt": int(at.timestamp()),
        "main": {"temp": temperature, "feels_like": feels_like, "humidity": 60},
        "weather": [
            {"id": OPENWEATHER_IDS.get(values["weather_code"], 804), "main": "", "description": "", "icon": ""}
        ],
        "wind": {
            "speed": None if wind is None else wind / 3.6,
            "deg": 240,
            "gust": None if gusts is None else gusts / 3.6,
        },
        "pop": max(chances) / 100 if chances else None,
        **({"rain": {"3h": round(sum(rain), 2)}} if sum(rain) else {}),
        "dt_txt": f"{at:%Y-%m-%d %H:%M:%S}",
    }


_ROUTES: Final[dict[str, Callable[[WeatherServer, Handler, dict[str, str]], None]]] = {
    "/v1/search": _search,
    "/v1/forecast": _forecast,
    "/data/2.5/weather": _current,
    "/data/2.5/forecast": _steps,
    "/geo/1.0/direct": _geo,
}


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=9000)
    with WeatherServer(parser.parse_args().port) as server:
        print(f"export OPEN_METEO_URL={server.url} OPEN_METEO_GEOCODING_URL={server.url}", flush=True)  # noqa: T201 - output for the terminal.
        print("Cities: " + ", ".join(place.name for place in PLACES), flush=True)  # noqa: T201 - output for the terminal.
        threading.Event().wait()


if __name__ == "__main__":
    main()
