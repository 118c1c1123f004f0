"""The weather providers with a server that sends their JSON, and with a server that sends invalid responses."""

import gzip
import json
import logging
import time
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from core.weather import CityNotFound, OpenMeteo, OpenWeather, ProviderUnavailable, WeatherProvider, city_key
from tests.doubles.weather import API_KEY, Handler, WeatherServer, fail, send

# About 500 bytes that are 200 MB after they are decompressed twice.
BOMB = gzip.compress(gzip.compress(bytes(200_000_000)))


@pytest.fixture
def server() -> Iterator[WeatherServer]:
    with WeatherServer() as server:
        yield server


def open_meteo(server: WeatherServer, seconds: float = 20.0) -> OpenMeteo:
    return OpenMeteo(server.url, server.url + "/", seconds)


def open_weather(server: WeatherServer, seconds: float = 20.0, key: str = API_KEY) -> OpenWeather:
    return OpenWeather(server.url, SecretStr(key), seconds)


PROVIDERS = pytest.mark.parametrize("provider_of", [open_meteo, open_weather])
ProviderOf = Callable[..., WeatherProvider]


def test_open_meteo_returns_celsius_and_meters_per_second(server: WeatherServer) -> None:
    report = open_meteo(server).current("london")

    assert (report.temperature, report.feels_like, report.humidity, report.wind_speed) == (11.4, 10.2, 82, 4.1)
    assert (report.condition, report.location) == ("slight rain", "London, United Kingdom")
    assert report.provider == "open-meteo"
    assert datetime.now(UTC) - report.fetched_at < timedelta(minutes=1)


def test_open_weather_returns_celsius_and_meters_per_second(server: WeatherServer) -> None:
    report = open_weather(server).current("Zürich")

    assert (report.temperature, report.feels_like, report.humidity, report.wind_speed) == (7.9, 6.6, 77, 1.4)
    assert (report.condition, report.location, report.provider) == ("light rain", "Zürich, CH", "openweather")


@PROVIDERS
def test_an_unknown_city_raises_city_not_found(provider_of: ProviderOf, server: WeatherServer) -> None:
    pytest.raises(CityNotFound, provider_of(server).current, "Atlantis")


@PROVIDERS
@pytest.mark.parametrize("city", ["London&appid=x", "../../etc", "a/b?c#d", "☔", "x\r\nHost: evil"])
def test_a_city_name_is_sent_only_as_a_parameter(provider_of: ProviderOf, city: str, server: WeatherServer) -> None:
    pytest.raises(CityNotFound, provider_of(server).current, city)

    (asked,) = server.requests
    assert asked[1] == city


def redirect(handler: Handler) -> None:
    handler.send_response(302)
    handler.send_header("Location", "/v1/elsewhere")
    handler.send_header("Content-Length", "0")
    handler.end_headers()


def send_too_much(handler: Handler) -> None:
    handler.send_response(200)
    handler.end_headers()
    for _ in range(1000):
        handler.wfile.write(b" " * 1024)


def send_no_json(handler: Handler) -> None:
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(b"<html>")


def send_another_shape(handler: Handler) -> None:
    send(handler, 200, {"results": [{"latitude": "north"}], "main": None})


def close_connection(handler: Handler) -> None:
    handler.connection.close()


def send_a_bomb(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Encoding", "gzip, gzip")
    handler.end_headers()
    handler.wfile.write(BOMB)


def send_numbers(handler: Handler, number: object, *, text: str = "London") -> None:
    """Send a document of the right shape, for either provider, with this number and this text everywhere."""
    names = ("temperature_2m", "apparent_temperature", "relative_humidity_2m", "wind_speed_10m")
    document = {
        "results": [{"name": text, "country": text, "latitude": 0, "longitude": 0}],
        "current": dict.fromkeys(names, number) | {"weather_code": 0},
        "main": dict.fromkeys(("temp", "feels_like", "humidity"), number),
        "weather": [{"description": text}],
        "wind": {"speed": number},
        "name": text,
        "sys": {"country": text},
    }
    send(handler, 200, document)


@PROVIDERS
@pytest.mark.parametrize("number", ["nan", "-inf", 1e29, -(10**19)])
def test_a_number_that_is_no_measurement_is_refused(
    provider_of: ProviderOf, number: object, server: WeatherServer
) -> None:
    server.misbehave = lambda handler: send_numbers(handler, number)

    pytest.raises(ProviderUnavailable, provider_of(server).current, "London")


@PROVIDERS
@pytest.mark.parametrize(
    "misbehavior",
    [fail, redirect, send_too_much, send_a_bomb, send_no_json, send_another_shape, close_connection],
    ids=lambda f: f.__name__,
)
def test_an_invalid_response_raises_provider_unavailable(
    provider_of: ProviderOf, misbehavior: Callable[[Handler], None], server: WeatherServer
) -> None:
    server.misbehave = misbehavior

    pytest.raises(ProviderUnavailable, provider_of(server).current, "London")

    assert not any("elsewhere" in path for path, _ in server.requests)


@PROVIDERS
def test_texts_of_a_provider_are_short_and_printable(provider_of: ProviderOf, server: WeatherServer) -> None:
    text = "Lon\0don\u202e\n" + "x" * 10_000
    server.misbehave = lambda handler: send_numbers(handler, 1, text=text)

    report = provider_of(server).current("London")

    assert report.location.startswith("Londonx")
    for text in (report.location, report.condition):
        assert text.isprintable()
        assert len(text) <= 200


def test_a_bomb_needs_little_memory(server: WeatherServer) -> None:
    server.misbehave = send_a_bomb

    tracemalloc.start()
    try:
        pytest.raises(ProviderUnavailable, open_meteo(server).current, "London")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 20_000_000


def drip_body(handler: Handler) -> None:
    handler.send_response(200)
    handler.end_headers()
    _drip(handler)


def drip_headers(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Padding: ")
    _drip(handler)


def _drip(handler: Handler) -> None:
    """Send a byte every 0.05 s for a minute, or until the peer closes the connection."""
    for _ in range(1200):
        handler.wfile.write(b" ")
        time.sleep(0.05)


@PROVIDERS
@pytest.mark.parametrize("drip", [drip_body, drip_headers], ids=lambda f: f.__name__)
def test_a_server_that_responds_too_slowly_is_disconnected(
    provider_of: ProviderOf, drip: Callable[[Handler], None], server: WeatherServer
) -> None:
    server.misbehave = drip

    with pytest.raises(ProviderUnavailable, match="took too long"):
        provider_of(server, 0.3).current("London")

    # The server would have sent for a minute, but the client closed the connection.
    assert server.closed_connections.acquire(timeout=20)


def test_the_api_key_is_in_no_error_message_and_no_log(server: WeatherServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    key = "very-secret-key"
    provider = open_weather(server, key=key)

    with pytest.raises(ProviderUnavailable, match="API key") as refused:
        provider.current("London")
    server.misbehave = close_connection
    with pytest.raises(ProviderUnavailable) as lost:
        provider.current("London")

    for error in (refused.value, lost.value):
        assert key not in repr(error)
        assert error.__context__ is None or error.__suppress_context__
    assert key not in repr(vars(provider))
    assert key not in caplog.text


def test_a_report_can_be_converted_to_json(server: WeatherServer) -> None:
    report = open_meteo(server).current("Oslo")

    document = json.loads(json.dumps(report.as_dict(), default=str))

    assert document["temperature"] == -3.2
    assert set(document) >= {"temperature", "condition", "provider", "fetched_at"}


@given(st.text(max_size=40))
def test_a_city_key_is_the_same_for_all_spellings(city: str) -> None:
    key = city_key(city)

    assert city_key(key) == key
    assert city_key(f"  {city}\t") == key


def test_a_city_key_ignores_case_width_and_spaces() -> None:
    assert city_key("  New   YORK ") == city_key("new york")
    assert city_key("STRASSE") == city_key("Straße")
