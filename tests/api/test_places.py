"""The search of places: found once, known for ever, and also found while the provider is away."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from api.app import create_app
from api.places import resources
from core.config import Settings
from core.policy import Actor
from core.security import TokenIssuer
from tests.api.callers import Caller, LiveServer, assert_problem, invalid_fields
from tests.doubles.weather import Handler, WeatherServer, fail, refuse_for, send_half
from tests.polling import wait_until
from tests.sql import execute

PLACES = "/api/v1/places"


@pytest.fixture(scope="module")
def provider() -> Iterator[WeatherServer]:
    with WeatherServer() as server:
        yield server


@pytest.fixture(autouse=True)
def _provider_is_well(provider: WeatherServer) -> None:
    provider.misbehave = None
    provider.delay = 0
    provider.requests.clear()


@pytest.fixture(scope="module")
def server(settings: Settings, provider: WeatherServer) -> Iterator[LiveServer]:
    changed = {
        "open_meteo_url": provider.url,
        "open_meteo_geocoding_url": provider.url,
        "weather_calls_per_day": 25,
        "database_threads": 1,
    }
    with LiveServer(create_app(settings.model_copy(update=changed))) as running:
        yield running


@pytest.fixture
def searcher(server: LiveServer, issuer: TokenIssuer, mallory: Actor) -> Caller:
    """Anybody who has logged in may search."""
    return Caller(server.url, issuer.access_token(mallory.user_id, mallory.session_id))


def found(caller: Caller, name: str, **query: Any) -> dict[str, Any]:
    response = caller.get(PLACES, params={"q": name} | query)
    assert response.status_code == 200, response.text
    places: dict[str, Any] = response.json()
    return places


def regions(answer: dict[str, Any]) -> list[str]:
    return [place["region"] for place in answer["items"]]


def test_places_of_one_name_are_found_with_what_tells_them_apart(searcher: Caller) -> None:
    answer = found(searcher, " paris ")

    assert (answer["complete"], answer["attribution"]) == (True, "Weather data by Open-Meteo.com (CC BY 4.0)")
    _, texas = answer["items"]
    assert texas.pop("id") > 0
    assert texas == {
        "name": "Paris",
        "region": "Texas",
        "country": "United States",
        "country_code": "US",
        "latitude": 33.66094,
        "longitude": -95.55551,
        "timezone": "America/Chicago",
        "population": 24782,
    }


def test_a_name_is_asked_for_once_whatever_its_spelling_and_the_limit(
    searcher: Caller, provider: WeatherServer
) -> None:
    assert regions(found(searcher, "Paris", limit=1)) == ["Île-de-France"]
    assert regions(found(searcher, "PARIS")) == ["Île-de-France", "Texas"]

    assert provider.calls == 1


def test_an_unknown_name_is_remembered_for_a_day(searcher: Caller, provider: WeatherServer) -> None:
    assert [found(searcher, "Atlantis")["items"] for _ in range(2)] == [[], []]
    assert provider.calls == 1

    execute("UPDATE place_names SET looked_up_at = looked_up_at - interval '25 hours'")
    assert found(searcher, "Atlantis")["complete"]
    assert provider.calls == 2


@pytest.mark.parametrize("misbehavior", [fail, send_half, refuse_for(600)], ids=["down", "half", "too many"])
def test_known_places_are_found_by_the_beginning_of_their_name_while_the_provider_is_away(
    searcher: Caller, provider: WeatherServer, misbehavior: Callable[[Handler], None]
) -> None:
    known = found(searcher, "Paris")
    found(searcher, "Oslo")
    provider.misbehave = misbehavior

    for name in ("Par", "PA", "p"):
        answer = found(searcher, name)
        assert (answer["complete"], answer["items"]) == (False, known["items"])
    assert found(searcher, "%")["items"] == []
    assert found(searcher, "Paris") == known


def test_nobody_waits_long_for_a_provider_that_is_slow(
    searcher: Caller, provider: WeatherServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "_PROVIDER_SECONDS", 0.1)
    provider.delay = 5

    assert found(searcher, "Paris") == {
        "items": [],
        "complete": False,
        "attribution": "Weather data by Open-Meteo.com (CC BY 4.0)",
    }


def test_a_search_that_waits_takes_no_thread_from_others(
    searcher: Caller, server: LiveServer, provider: WeatherServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server has only one thread for the database."""
    for name in ("_PROVIDER_SECONDS", "_OUTBOUND_SECONDS"):
        monkeypatch.setattr(resources, name, 20.0)
    answer = threading.Event()

    def wait(_: Handler) -> None:
        answer.wait(20)

    provider.misbehave = wait

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(found, searcher, "Paris")
        wait_until(lambda: provider.calls == 1)
        assert Caller(server.url, searcher.token).get("/api/v1/users/me").status_code == 200
        assert not waiting.done()
        answer.set()
        assert not waiting.result()["complete"]


def test_searches_take_a_fifth_of_the_calls_of_a_day(searcher: Caller, provider: WeatherServer) -> None:
    complete = [found(searcher, f"City {number}")["complete"] for number in range(7)]

    assert complete == [True] * 5 + [False] * 2
    assert provider.calls == 5


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({}, "q"),
        ({"q": " "}, "q"),
        ({"q": "x" * 121}, "q"),
        ({"q": "x", "limit": "0"}, "limit"),
        ({"q": "x", "limit": "11"}, "limit"),
        ({"q": "x", "near": "me"}, "near"),
    ],
)
def test_a_wrong_query_is_refused(searcher: Caller, query: dict[str, str], field: str) -> None:
    assert invalid_fields(searcher.get(PLACES, params=query)) == [field]


def test_who_has_not_logged_in_finds_nothing(searcher: Caller, provider: WeatherServer) -> None:
    assert_problem(searcher.without_token().get(PLACES, params={"q": "Paris"}), 401, "token_missing")
    assert provider.calls == 0
