"""A weather server for the benchmark of enrichment: `python -m benchmarks.weather_server --port 9000 --delay 0.05`.

It sends the JSON of Open-Meteo: any name is a place, and all places have the same weather, until a request to `/worse`
makes that of each tenth place rainy. The documents are made once, so the server takes little of the measured time.
"""

import argparse
import asyncio
import time
from collections import Counter
from typing import Final
from urllib.parse import parse_qs, urlsplit

import orjson
import uvloop

_HOURS: Final = 16 * 24
_DRY: Final = {"precipitation_probability": 5, "precipitation": 0.0, "weather_code": 1}
_RAINY: Final = {"precipitation_probability": 85, "precipitation": 1.4, "weather_code": 63}
_ALWAYS: Final = {"temperature_2m": 11.4, "apparent_temperature": 10.2, "wind_speed_10m": 14.8, "wind_gusts_10m": 31.0}
_CURRENT: Final = {
    "temperature_2m": 11.4,
    "apparent_temperature": 10.2,
    "relative_humidity_2m": 82,
    "weather_code": 1,
    "wind_speed_10m": 14.8,
}
_WORSE_EACH: Final = 10


class WeatherServer:
    """Sends each response after a delay, and counts requests by their path at `/counts`."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._counts: Counter[str] = Counter()
        self._is_worse = False
        self._dry, self._rainy = _document(_DRY), _document(_RAINY)

    async def serve(self, port: int) -> None:
        """Serve until the process is ended."""
        server = await asyncio.start_server(self._answer, "127.0.0.1", port, backlog=1024)
        await server.serve_forever()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            content = await self._content(head.split(b" ", 2)[1].decode())
            size = f"Content-Length: {len(content)}\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
            writer.write(b"HTTP/1.1 200 OK\r\n" + size.encode() + content)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return  # The client has gone, or only asked whether the port is open.
        finally:
            writer.close()

    async def _content(self, target: str) -> bytes:
        address = urlsplit(target)
        query = parse_qs(address.query)
        match address.path:
            case "/counts":
                return orjson.dumps(self._counts)
            case "/worse":
                self._is_worse = True
                return b"{}"
        self._counts[address.path] += 1
        await asyncio.sleep(self._delay)
        if address.path == "/v1/search":
            return _place(query["name"][0])
        latitudes = query["latitude"][0].split(",")
        documents = [self._forecast(float(latitude)) for latitude in latitudes]
        return documents[0] if len(documents) == 1 else b"[" + b",".join(documents) + b"]"

    def _forecast(self, latitude: float) -> bytes:
        number = round(latitude * 100)
        return self._rainy if self._is_worse and number % _WORSE_EACH == 0 else self._dry


def _place(name: str) -> bytes:
    """Return the place of a name such as `City 7`, whose number says where it is."""
    number = int(name.rpartition(" ")[2])
    place = {"id": number + 1, "name": name, "country": "Norway", "country_code": "NO", "timezone": "Europe/Oslo"}
    return orjson.dumps({"results": [place | {"latitude": number / 100, "longitude": 10.0}]})


def _document(weather: dict[str, float]) -> bytes:
    now = int(time.time()) // 3600 * 3600
    columns = {name: [value] * _HOURS for name, value in (_ALWAYS | weather).items()}
    hourly = {"time": [now + number * 3600 for number in range(_HOURS)]} | columns
    return orjson.dumps({"latitude": 0.0, "longitude": 10.0, "current": _CURRENT, "hourly": hourly})


def main() -> None:
    """Serve on loopback."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.weather_server", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--delay", type=float, required=True, help="seconds before each response")
    arguments = parser.parse_args()
    uvloop.run(WeatherServer(arguments.delay).serve(arguments.port))


if __name__ == "__main__":
    main()
