"""Places, the names under which they were found, and points."""

from dataclasses import replace

import pytest

from core.config import Settings
from core.db import unit_of_work
from core.models.place import Place
from core.policy import Actor
from core.services.places import (
    PlaceSearch,
    Search,
    is_named_place,
    place_of_point,
    resolve_names,
    store_all_found,
    store_found,
)
from core.services.weather_calls import WeatherCalls
from core.weather import FoundPlace, ProviderUnavailable, provider_for
from tests.builders import create_task
from tests.doubles.weather import Misbehavior, WeatherServer, fail, refuse_for
from tests.sql import execute
from tests.statements import statements_with_values
from tests.threads import in_parallel

pytestmark = pytest.mark.usefixtures("database")

FRANCE = FoundPlace("tests:1", "Paris", "Île-de-France", "France", "FR", 48.85, 2.35, "Europe/Paris", 2_138_551)
TEXAS = FoundPlace("tests:2", "Paris", "Texas", "United States", "US", 33.66, -95.56, "America/Chicago", 24_782)


def store(key: str, *found: FoundPlace) -> list[int]:
    with unit_of_work():
        return store_found(key, found)


def test_a_name_resolves_to_its_best_match() -> None:
    france, texas = store("paris", FRANCE, TEXAS)
    assert store("paris, texas", TEXAS) == [texas]
    store("atlantis")

    names = {"paris": "Paris", "paris, texas": "Paris, Texas", "atlantis": "Atlantis", "oslo": "Oslo"}
    assert resolve_names(names) == {"paris": france, "paris, texas": texas, "atlantis": None}
    stored = Place.get_by_id(texas)
    assert (stored.reference, stored.region, stored.timezone) == ("tests:2", "Texas", "America/Chicago")


def test_many_names_are_stored_at_once_in_the_order_of_their_matches() -> None:
    with unit_of_work():
        ids = store_all_found({"b": [TEXAS, FRANCE], "a": [FRANCE, TEXAS, FRANCE], "nothing": []})

    france, texas = ids["a"]
    assert ids == {"a": [france, texas], "b": [texas, france], "nothing": []}


def test_a_place_is_found_again_while_a_task_is_made_there(alice: Actor) -> None:
    (place_id,) = store("paris", FRANCE)

    with unit_of_work():
        create_task(alice, place_id=place_id)

        assert in_parallel(lambda _: store("paris", FRANCE), 1) == [[place_id]]


def test_a_place_that_is_found_again_keeps_its_id_and_gets_the_newer_facts() -> None:
    (before,) = store("paris", FRANCE)
    (after,) = store("paris", replace(FRANCE, population=3_000_000))

    assert after == before
    assert Place.get_by_id(before).population == 3_000_000


def test_an_unknown_name_is_forgotten_after_a_day_and_a_known_one_never() -> None:
    store("atlantis")
    (france,) = store("paris", FRANCE)
    execute("UPDATE place_names SET looked_up_at = looked_up_at - interval '25 hours'")

    assert resolve_names({"atlantis": "Atlantis", "paris": "Paris"}) == {"paris": france}


def test_processes_that_store_the_same_places_at_the_same_time_get_the_same_ids() -> None:
    orders = [(FRANCE, TEXAS), (TEXAS, FRANCE)]
    ids = in_parallel(lambda number: store(f"paris {number}", *orders[number % 2]), 8)

    assert {frozenset(pair) for pair in ids} == {frozenset(ids[0])}


@pytest.mark.parametrize(
    ("point", "near"), [((51.5072, -0.1276), (51.5074, -0.1301)), ((-0.001, 0.001), (0.004, -0.004))]
)
def test_points_within_about_a_kilometer_are_one_place(point: tuple[float, float], near: tuple[float, float]) -> None:
    with unit_of_work():
        place_id = place_of_point(*point)
        assert place_of_point(*near) == place_id
        assert place_of_point(point[0] + 0.02, point[1]) != place_id

    place = Place.get_by_id(place_id)
    assert not is_named_place(place_id)
    assert (place.name, place.latitude, place.longitude) == (None, round(point[0], 2), round(point[1], 2))


def test_a_point_that_is_added_by_several_at_the_same_time_is_one_place() -> None:
    def add(_: int) -> int:
        with unit_of_work():
            return place_of_point(12.34, 56.78)

    assert len(set(in_parallel(add, 8))) == 1


def test_places_are_searched_by_the_beginning_of_their_name_in_two_indexes(settings: Settings) -> None:
    execute("INSERT INTO places (reference, name, latitude, longitude)"
            " SELECT 'tests:' || n, 'Place ' || n, 1, 1 FROM generate_series(1, 10000) n")  # fmt: skip
    execute("INSERT INTO place_names (key, place_ids) SELECT 'name ' || id, ARRAY[id] FROM places")
    execute("ANALYZE places, place_names")
    search = PlaceSearch(settings, provider_for(settings))

    with statements_with_values() as sent:
        search.find_beginning(Search("Place 77", 5))

    (statement,) = sent
    plan = "\n".join(row[0] for row in execute("EXPLAIN " + statement.replace("%", "%%")).fetchall())
    assert "places_beginning" in plan
    assert "place_names_beginning" in plan


@pytest.fixture
def searching(settings: Settings, weather: WeatherServer) -> Settings:
    return settings.model_copy(update={"open_meteo_url": weather.url, "open_meteo_geocoding_url": weather.url})


def search_in_vain(settings: Settings, seconds: float) -> bool:
    """Search as somebody who waits does; returns whether the provider might be asked."""
    search, wanted = PlaceSearch(settings, provider_for(settings)), Search("Paris", 5)
    _, may_ask = search.find_known(wanted)
    if may_ask:
        search.keep(wanted, search.ask(wanted, seconds))
    return may_ask


@pytest.mark.parametrize(
    ("delay", "misbehave", "seconds", "granted"),
    [(5, None, 0.05, 10), (0, fail, 5, 0), (0, refuse_for(60), 5, 0)],
    ids=["too late", "error", "too many"],
)
def test_only_a_search_that_took_too_long_is_no_failure_of_the_provider(
    searching: Settings,
    weather: WeatherServer,
    delay: float,
    misbehave: Misbehavior | None,
    seconds: float,
    granted: int,
) -> None:
    weather.delay, weather.misbehave = delay, misbehave
    for _ in range(3):
        search_in_vain(searching, seconds)

    assert WeatherCalls(searching, provider_for(searching)).granted(10) == granted


def test_a_search_that_tries_whether_the_provider_is_well_and_is_late_lets_another_call_try(
    searching: Settings, weather: WeatherServer
) -> None:
    calls = WeatherCalls(searching, provider_for(searching))
    calls.granted(1)
    for _ in range(3):
        calls.failed(ProviderUnavailable("It is down."))
    execute("UPDATE weather_calls SET open_until = now()")
    weather.delay = 5

    assert search_in_vain(searching, 0.05)
    assert [calls.granted(10), calls.granted(10)] == [1, 0]
