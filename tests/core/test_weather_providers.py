"""The weather providers with a server that sends their JSON, and with a server that sends invalid responses."""

import gzip
import json
import logging
import time
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from core.config import Settings
from core.weather import (
    OpenMeteo,
    OpenWeather,
    Point,
    ProviderUnavailable,
    WeatherProvider,
    WeatherReport,
    city_key,
    provider_for,
)
from core.weather.forecast import Forecast
from tests.doubles.weather import API_KEY, Handler, WeatherServer, fail, refuse_for, send, send_bytes, send_half

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


def report_of(provider: WeatherProvider, city: str) -> WeatherReport:
    """Return the current weather of the best match of a name."""
    (place,) = provider.search(city, 1)
    (weather,) = provider.forecasts([place.point])
    assert weather is not None
    assert weather.current is not None
    return weather.current


def test_open_meteo_returns_celsius_and_meters_per_second(server: WeatherServer) -> None:
    report = report_of(open_meteo(server), "london")

    assert (report.temperature, report.feels_like, report.humidity, report.wind_speed) == (11.4, 10.2, 82, 4.1)
    assert (report.condition, report.location) == ("slight rain", "London, United Kingdom")
    assert report.provider == "open-meteo"
    assert datetime.now(UTC) - report.fetched_at < timedelta(minutes=1)


def test_open_weather_returns_celsius_and_meters_per_second(server: WeatherServer) -> None:
    report = report_of(open_weather(server), "Zürich")

    assert (report.temperature, report.feels_like, report.humidity, report.wind_speed) == (7.9, 6.6, 77, 1.4)
    assert (report.condition, report.location, report.provider) == ("light rain", "Zürich, CH", "openweather")


@PROVIDERS
def test_places_of_the_same_name_can_be_told_apart(provider_of: ProviderOf, server: WeatherServer) -> None:
    france, texas = provider_of(server).search("  paris ", 5)

    assert (france.name, france.region, france.country_code) == ("Paris", "Île-de-France", "FR")
    assert (texas.region, texas.country_code, texas.latitude, texas.longitude) == ("Texas", "US", 33.66094, -95.55551)
    assert france.reference != texas.reference
    assert provider_of(server).search("Paris", 1) == [france]


def test_open_meteo_knows_time_zone_and_population(server: WeatherServer) -> None:
    (_, texas) = open_meteo(server).search("Paris", 2)

    assert (texas.reference, texas.timezone, texas.population) == ("open-meteo:4717560", "America/Chicago", 24782)
    assert texas.point.location == "Paris, United States"


OSLO: Final = Point(59.91273, 10.74609)
HOUR: Final = timedelta(hours=1)


def this_hour() -> datetime:
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


def forecast_of_oslo(provider: WeatherProvider) -> Forecast:
    (weather,) = provider.forecasts([OSLO])
    assert weather is not None
    return weather.forecast


def test_open_meteo_forecasts_sixteen_days_by_the_hour(server: WeatherServer) -> None:
    tomorrow = this_hour() + timedelta(days=1)
    server.expect("Oslo", tomorrow, tomorrow + HOUR, temperature=4.2, rain_probability=80, rain=2.5, gusts=61.0)

    forecast = forecast_of_oslo(open_meteo(server))

    hour = forecast.at(tomorrow + HOUR / 2)
    assert hour is not None
    assert (hour.begins_at, hour.ends_at) == (tomorrow, tomorrow + HOUR)
    assert (hour.temperature, hour.feels_like, hour.weather_code) == (4.2, -8.1, 73)
    # Open-Meteo sends these three with the end of the hour.
    assert (hour.rain_probability, hour.rain, hour.gusts) == (80, 2.5, 61.0)
    assert (forecast.ends_at - forecast.starts_at, forecast.starts_at.hour) == (timedelta(days=16), 0)
    after = forecast.at(tomorrow + 1.5 * HOUR)
    assert after is not None
    assert (after.rain_probability, after.rain) == (10, 0)


def test_openweather_forecasts_five_days_in_steps_of_three_hours(server: WeatherServer) -> None:
    start = this_hour().replace(hour=0) + timedelta(days=2, hours=9)
    server.expect(
        "Oslo", start, start + 3 * HOUR, rain_probability=80, rain=1.5, wind=36.0, gusts=54.0, weather_code=63
    )

    forecast = forecast_of_oslo(open_weather(server))

    assert forecast.step == 3 * HOUR
    step = forecast.at(start + HOUR)
    assert step is not None
    assert (step.begins_at, step.rain_probability, step.rain) == (start, 80, 4.5)
    assert [step.wind, step.gusts, step.weather_code] == pytest.approx([36, 54, 63])
    running = forecast.at(datetime.now(UTC))
    assert running is not None
    assert (running.temperature, running.rain) == (-3.2, 0)
    assert forecast.ends_at - datetime.now(UTC) > timedelta(days=4, hours=20)


def test_open_meteo_gets_many_points_with_one_request(server: WeatherServer) -> None:
    cities = [open_meteo(server).search(f"City {number}", 1)[0] for number in (5, 17, 999)]
    server.requests.clear()

    weather = open_meteo(server).forecasts([OSLO, *(city.point for city in cities)])

    assert [place and place.forecast.temperature[0] for place in weather] == [-3.2, 0.5, 12.7, -4.1]
    assert [place and place.current and place.current.location for place in weather][1:] == [
        "City 5, Testland",
        "City 17, Testland",
        "City 999, Testland",
    ]
    assert server.requests.total() == 1


def test_values_that_are_missing_or_impossible_are_none_and_the_others_stay(server: WeatherServer) -> None:
    hour = this_hour()
    server.hourly["Oslo"] = {
        hour: {"temperature": None, "rain": float("nan"), "wind": -4, "weather_code": 1e9, "gusts": 30.0},
        hour + 2 * HOUR: None,
    }

    forecast = forecast_of_oslo(open_meteo(server))

    here, left_out, next_one = (forecast.at(hour + number * HOUR) for number in (0, 2, 3))
    assert here is not None
    assert left_out is not None
    assert next_one is not None
    assert (here.temperature, here.rain, here.wind, here.weather_code) == (None, None, None, None)
    assert (here.feels_like, here.gusts) == (-8.1, 30.0)
    assert (left_out.begins_at, left_out.temperature, left_out.rain) == (hour + 2 * HOUR, None, None)
    assert (next_one.begins_at, next_one.temperature) == (hour + 3 * HOUR, -3.2)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120),
        (None, 60),
        ("soon", 60),
        ("99999999999", 86_400),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Fri, 31 Dec 2286 23:59:59 GMT", 86_400),
    ],
)
def test_too_many_requests_say_how_long_to_wait(header: str | None, seconds: float, server: WeatherServer) -> None:
    server.misbehave = refuse_for(header)

    with pytest.raises(ProviderUnavailable) as refused:
        open_meteo(server).search("Oslo", 1)

    assert refused.value.retry_after == seconds


def test_the_key_of_open_meteo_goes_to_the_hosts_for_customers(server: WeatherServer) -> None:
    report_of(OpenMeteo(server.url, server.url, 20, SecretStr("customer")), "Oslo")
    report_of(open_meteo(server), "Oslo")
    settings = Settings(secret_key=SecretStr("x" * 32), database_url=SecretStr("x"), redis_url=SecretStr("x"))
    free, for_customers = (
        provider_for(settings.model_copy(update={"open_meteo_api_key": key})) for key in (None, SecretStr("customer"))
    )

    assert [query.get("apikey") for query in server.queries] == ["customer", "customer", None, None]
    assert vars(free)["_forecast"] == "https://api.open-meteo.com/v1/forecast"
    assert vars(for_customers)["_forecast"] == "https://customer-api.open-meteo.com/v1/forecast"
    assert vars(for_customers)["_search"] == "https://customer-geocoding-api.open-meteo.com/v1/search"


def test_a_name_that_openweather_does_not_accept_has_no_places(server: WeatherServer) -> None:
    server.misbehave = lambda handler: send(handler, 400, {"cod": "400", "message": "Nothing to geocode"})

    assert open_weather(server).search(",", 5) == []
    with pytest.raises(ProviderUnavailable, match="does not accept"):
        open_meteo(server).search("Oslo", 5)  # It responds like this to a key that it does not know.


@PROVIDERS
def test_an_unknown_name_has_no_places(provider_of: ProviderOf, server: WeatherServer) -> None:
    assert provider_of(server).search("Atlantis", 1) == []


@PROVIDERS
@pytest.mark.parametrize("city", ["London&appid=x", "../../etc", "a/b?c#d", "☔", "x\r\nHost: evil"])
def test_a_city_name_is_sent_only_as_a_parameter(provider_of: ProviderOf, city: str, server: WeatherServer) -> None:
    assert provider_of(server).search(city, 1) == []

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
    send(handler, 200, {"results": [{"latitude": "north"}], "main": None, "hourly": {"time": [1, 2]}, "list": [3]})


def close_connection(handler: Handler) -> None:
    handler.connection.close()


def send_a_bomb(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Encoding", "gzip, gzip")
    handler.end_headers()
    handler.wfile.write(BOMB)


def send_deep_json(handler: Handler) -> None:
    send_bytes(handler, 200, b"[" * 50_000)


def send_numbers(handler: Handler, number: object, *, text: str = "London") -> None:
    """Send a document of the right shape, for either provider, with this number and this text everywhere."""
    names = ("temperature_2m", "apparent_temperature", "relative_humidity_2m", "wind_speed_10m")
    place = {"id": 1, "name": text, "country": text, "latitude": 0, "longitude": 0}
    document = {
        "results": [place],
        "current": dict.fromkeys(names, number) | {"weather_code": 0},
        "hourly": {"time": [0], "temperature_2m": [number]},
        "main": dict.fromkeys(("temp", "feels_like", "humidity"), number),
        "weather": [{"description": text}],
        "wind": {"speed": number},
        "list": [{"dt": 0, "main": {"temp": number}}],
    }
    is_list = handler.path.startswith("/geo/")
    send(handler, 200, [place | {"lat": 0, "lon": 0, "country": "NO"}] if is_list else document)


@PROVIDERS
@pytest.mark.parametrize("number", ["nan", "-inf", 1e29, -(10**19)])
def test_a_number_that_is_no_measurement_is_left_out(
    provider_of: ProviderOf, number: object, server: WeatherServer
) -> None:
    server.misbehave = lambda handler: send_numbers(handler, number)

    (weather,) = provider_of(server).forecasts([OSLO])

    assert weather is not None
    assert weather.current is None
    assert set(weather.forecast.temperature) == {None}


@pytest.mark.parametrize("number", ["nan", 91, None, 1e400])
def test_a_place_outside_the_earth_is_refused(number: object, server: WeatherServer) -> None:
    place = {"id": 1, "name": "Nowhere", "latitude": number, "longitude": 0}
    server.misbehave = lambda handler: send(handler, 200, {"results": [place]})

    pytest.raises(ProviderUnavailable, open_meteo(server).search, "Nowhere", 1)


@PROVIDERS
@pytest.mark.parametrize(
    "misbehavior",
    [
        fail,
        redirect,
        send_too_much,
        send_a_bomb,
        send_no_json,
        send_deep_json,
        send_half,
        send_another_shape,
        close_connection,
    ],
    ids=lambda f: f.__name__,
)
def test_an_invalid_response_raises_provider_unavailable(
    provider_of: ProviderOf, misbehavior: Callable[[Handler], None], server: WeatherServer
) -> None:
    server.misbehave = misbehavior

    pytest.raises(ProviderUnavailable, provider_of(server).search, "London", 1)
    pytest.raises(ProviderUnavailable, provider_of(server).forecasts, [OSLO])

    assert not any("elsewhere" in path for path, _ in server.requests)


@PROVIDERS
def test_texts_of_a_provider_are_short_and_printable(provider_of: ProviderOf, server: WeatherServer) -> None:
    text = "Lon\0don\u202e\n" + "x" * 10_000
    server.misbehave = lambda handler: send_numbers(handler, 1, text=text)

    report = report_of(provider_of(server), "London")

    assert report.location.startswith("Londonx")
    for text in (report.location, report.condition):
        assert text.isprintable()
        assert len(text) <= 200


def test_a_bomb_needs_little_memory(server: WeatherServer) -> None:
    server.misbehave = send_a_bomb

    tracemalloc.start()
    try:
        pytest.raises(ProviderUnavailable, open_meteo(server).search, "London", 1)
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
        provider_of(server, 0.3).search("London", 1)

    # The server would have sent for a minute, but the client closed the connection.
    assert server.closed_connections.acquire(timeout=20)


def test_the_api_key_is_in_no_error_message_and_no_log(server: WeatherServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    key = "very-secret-key"
    provider = open_weather(server, key=key)

    with pytest.raises(ProviderUnavailable, match="API key") as refused:
        provider.search("London", 1)
    server.misbehave = close_connection
    with pytest.raises(ProviderUnavailable) as lost:
        provider.search("London", 1)

    for error in (refused.value, lost.value):
        assert key not in repr(error)
        assert error.__context__ is None or error.__suppress_context__
    assert key not in repr(vars(provider))
    assert key not in caplog.text


def test_a_report_can_be_converted_to_json(server: WeatherServer) -> None:
    report = report_of(open_meteo(server), "Oslo")

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
