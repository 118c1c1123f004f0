"""The weather of places: many with one call, several calls side by side, from the cache, as far as it is granted."""

import threading
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from pydantic import SecretStr
from redis import Redis

from core.config import Settings
from core.jobs import JobContext
from core.services.forecasts import read_forecasts
from core.services.place_weather import current_weather, fetch_weather, find_places
from core.services.weather_calls import WeatherCalls
from core.weather import OpenMeteo, ProviderUnavailable
from tests.doubles.weather import API_KEY, Handler, WeatherServer, fail, refuse_for, send
from tests.doubles.weather_places import find_places as places_named
from tests.doubles.weather_places import open_meteo_place
from tests.job_context import job_context
from tests.sql import execute

CITIES = {"oslo": "Oslo", "paris": "Paris", "berlin": "Berlin", "atlantis": "Atlantis"}
WAIT_SECONDS = 10


@pytest.fixture
def context(database: None, settings: Settings, weather: WeatherServer, redis: Redis) -> JobContext:
    urls = {"open_meteo_url": weather.url, "open_meteo_geocoding_url": weather.url}
    return job_context(settings.model_copy(update=urls), redis)


@pytest.fixture
def place_ids(context: JobContext) -> list[int]:
    """The ids of Oslo, Paris and Berlin."""
    places = find_places(context, CITIES).places
    return [place_id for key in CITIES if (place_id := places[key])]


def test_names_are_searched_side_by_side_and_once(context: JobContext, weather: WeatherServer) -> None:
    all_at_once = threading.Barrier(len(CITIES))

    def respond_together(handler: Handler) -> None:
        all_at_once.wait(WAIT_SECONDS)
        weather.misbehave = None
        weather.respond(handler)

    weather.misbehave = respond_together
    first = find_places(context, CITIES)
    calls = weather.calls
    second = find_places(context, CITIES)

    assert first == second
    assert first.failure is None
    assert [key for key in CITIES if first.places[key] is None] == ["atlantis"]
    assert weather.calls == calls


def test_a_search_that_fails_does_not_cost_the_others(context: JobContext, weather: WeatherServer) -> None:
    def fail_for_paris(handler: Handler) -> None:
        if "Paris" in handler.path:
            fail(handler)
        else:
            send(handler, 200, {"results": [open_meteo_place(place) for place in places_named("Oslo")]})

    weather.misbehave = fail_for_paris
    found = find_places(context, {"oslo": "Oslo", "paris": "Paris"})

    assert found.places.keys() == {"oslo"}
    assert "503" in str(found.failure)


def test_of_several_refusals_the_one_that_asks_for_the_longest_time_counts(
    context: JobContext, weather: WeatherServer
) -> None:
    weather.misbehave = lambda handler: (refuse_for(600) if "Paris" in handler.path else fail)(handler)

    find_places(context, {"oslo": "Oslo", "paris": "Paris"})

    until = WeatherCalls(context.settings, context.weather).refused_until()
    assert until > datetime.now(UTC) + timedelta(seconds=500)


def test_many_places_come_with_one_call_and_are_stored(
    context: JobContext, weather: WeatherServer, place_ids: list[int]
) -> None:
    calls = weather.calls

    fetched = fetch_weather(context, place_ids)

    assert weather.calls == calls + 1
    assert [orjson.loads(fetched.current[place_id])["location"] for place_id in place_ids] == [
        "Oslo, Norway",
        "Paris, France",
        "Berlin, Germany",
    ]
    assert read_forecasts(place_ids).keys() == fetched.forecasts.keys() == set(place_ids)


def test_more_places_than_a_call_takes_are_fetched_with_several(
    context: JobContext, weather: WeatherServer, place_ids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OpenMeteo, "points_per_call", 2)
    calls = weather.calls

    assert fetch_weather(context, place_ids).forecasts.keys() == set(place_ids)
    assert weather.calls == calls + 2


def test_only_as_many_places_are_fetched_as_are_granted(context: JobContext, place_ids: list[int]) -> None:
    scarce = context.settings.model_copy(update={"weather_calls_per_day": len(CITIES) + 2})

    fetched = fetch_weather(job_context(scarce, context.redis), place_ids)

    assert (list(fetched.forecasts), fetched.refused) == (place_ids[:2], place_ids[2:])
    assert fetched.failure == "No more calls are granted at present."


def test_a_place_costs_as_many_calls_as_the_provider_counts(
    context: JobContext, place_ids: list[int], weather: WeatherServer
) -> None:
    with_key = {"openweather_url": weather.url, "openweather_api_key": SecretStr(API_KEY), "weather_calls_per_day": 4}
    openweather = job_context(context.settings.model_copy(update=with_key), context.redis)

    fetched = fetch_weather(openweather, place_ids)

    assert (list(fetched.forecasts), fetched.refused) == (place_ids[:2], place_ids[2:])
    assert execute("SELECT calls FROM weather_calls WHERE provider = 'openweather'").fetchone() == (4,)


def test_the_call_that_tries_again_is_enough_for_one_place(
    context: JobContext, place_ids: list[int], weather: WeatherServer
) -> None:
    with_key = {"openweather_url": weather.url, "openweather_api_key": SecretStr(API_KEY)}
    openweather = job_context(context.settings.model_copy(update=with_key), context.redis)
    calls = WeatherCalls(openweather.settings, openweather.weather)
    calls.granted(1)
    calls.failed(ProviderUnavailable("Too many.", retry_after=0))

    assert list(fetch_weather(openweather, place_ids).forecasts) == place_ids[:1]


def test_the_weather_now_is_cached(context: JobContext, weather: WeatherServer, place_ids: list[int]) -> None:
    first = current_weather(context, place_ids[:2])
    weather.points = 0
    second = current_weather(context, place_ids)

    assert weather.points == 1
    assert first.current.items() <= second.current.items()
    assert second.forecasts.keys() == {place_ids[2]}


def test_without_redis_the_weather_is_fetched(context: JobContext, place_ids: list[int]) -> None:
    nowhere = job_context(context.settings, Redis.from_url("redis://127.0.0.1:1/0"))

    assert current_weather(nowhere, place_ids).current.keys() == set(place_ids)
