"""The daily budget of calls and the circuit breaker, which hold for all processes together."""

from collections.abc import Iterable, Mapping

import pytest
from structlog.testing import capture_logs

from core.config import Settings
from core.services.weather_calls import WeatherCalls
from core.weather import ProviderUnavailable, provider_for
from tests.sql import execute
from tests.threads import in_parallel

pytestmark = pytest.mark.usefixtures("database")

DOWN = ProviderUnavailable("It is down.")


@pytest.fixture
def calls(settings: Settings) -> WeatherCalls:
    return calls_of(settings, 100)


def calls_of(settings: Settings, calls_per_day: int) -> WeatherCalls:
    limited = settings.model_copy(update={"weather_calls_per_day": calls_per_day})
    return WeatherCalls(limited, provider_for(limited))


def events(entries: Iterable[Mapping[str, object]]) -> list[object]:
    return [entry["event"] for entry in entries]


def let_time_pass(seconds: int) -> None:
    """Move the times of the breaker into the past."""
    execute(
        "UPDATE weather_calls SET open_until = open_until - make_interval(secs => %(s)s),"
        " probe_until = probe_until - make_interval(secs => %(s)s)",
        {"s": seconds},
    )


def fail(calls: WeatherCalls, times: int, error: ProviderUnavailable = DOWN) -> None:
    for _ in range(times):
        calls.failed(error)


class TestBudget:
    def test_calls_are_granted_until_the_day_is_used_up_which_is_told_once(self, calls: WeatherCalls) -> None:
        with capture_logs() as entries:
            granted = [calls.granted(40) for _ in range(5)]

        assert granted == [40, 40, 20, 0, 0]
        assert events(entries) == ["weather_calls_used_up"]

    def test_the_next_day_has_its_own_calls(self, calls: WeatherCalls) -> None:
        with capture_logs() as entries:
            assert [calls.granted(100), calls.granted(1)] == [100, 0]
            execute("UPDATE weather_calls SET day = day - 1")
            assert [calls.granted(100), calls.granted(1)] == [100, 0]

        assert events(entries) == ["weather_calls_used_up"] * 2

    def test_searches_of_people_take_a_fifth_at_most(self, calls: WeatherCalls) -> None:
        with capture_logs() as entries:
            searches = [calls.granted_search() for _ in range(22)]

        assert searches == [True] * 20 + [False] * 2
        assert events(entries) == ["weather_searches_used_up"]
        assert calls.granted(100) == 80

    def test_calls_at_the_same_time_are_granted_once(self, settings: Settings) -> None:
        granted = in_parallel(lambda _: calls_of(settings, 10).granted(3), 8)

        assert sorted(granted, reverse=True) == [3, 3, 3, 1, 0, 0, 0, 0]


class TestBreaker:
    def test_failures_in_a_row_stop_all_calls_and_one_call_tries_again(self, calls: WeatherCalls) -> None:
        calls.granted(1)
        fail(calls, 2)
        assert calls.granted(5) == 5
        with capture_logs() as entries:
            fail(calls, 4)
            assert [calls.granted(5), calls.granted_search()] == [0, False]
            let_time_pass(5)
            assert [calls.granted(5), calls.granted(5), calls.granted_search()] == [1, 0, False]
            calls.succeeded()
            assert calls.granted(5) == 5

        assert events(entries) == ["weather_calls_stopped", "weather_calls_resumed"]

    def test_a_call_that_tries_in_vain_doubles_the_wait(self, calls: WeatherCalls) -> None:
        calls.granted(1)
        fail(calls, 3)
        let_time_pass(5)
        assert calls.granted(5) == 1
        with capture_logs() as entries:
            fail(calls, 1)

        let_time_pass(5)
        assert calls.granted(5) == 0
        let_time_pass(5)
        assert calls.granted(5) == 1
        assert entries == []

    def test_a_process_that_dies_while_it_tries_does_not_keep_the_others_away(
        self, settings: Settings, calls: WeatherCalls
    ) -> None:
        calls.granted(1)
        fail(calls, 3)
        let_time_pass(5)
        assert [calls.granted(1), calls.granted(1)] == [1, 0]

        let_time_pass(int(settings.weather_timeout * 2) + 1)

        assert calls.granted(1) == 1

    def test_a_success_in_between_begins_anew(self, calls: WeatherCalls) -> None:
        calls.granted(1)
        fail(calls, 2)
        calls.succeeded()
        fail(calls, 2)

        assert calls.granted(1) == 1

    def test_the_provider_is_left_alone_as_long_as_it_asks_for(self, calls: WeatherCalls) -> None:
        calls.granted(1)
        with capture_logs() as entries:
            calls.failed(ProviderUnavailable("Too many.", retry_after=600))
        calls.succeeded()  # A call that had begun before says nothing about now.

        let_time_pass(590)
        assert calls.granted(1) == 0
        let_time_pass(10)
        assert calls.granted(5) == 1
        assert [(entry["event"], entry["seconds"], entry["reason"]) for entry in entries] == [
            ("weather_calls_stopped", 600, "Too many.")
        ]

    def test_a_later_time_of_the_provider_counts_also_while_the_calls_are_stopped(self, calls: WeatherCalls) -> None:
        calls.granted(1)
        fail(calls, 3)
        calls.failed(ProviderUnavailable("Too many.", retry_after=600))

        let_time_pass(500)

        assert calls.granted(1) == 0

    def test_no_call_tries_when_the_day_is_used_up(self, settings: Settings) -> None:
        calls = calls_of(settings, 3)
        calls.granted(3)
        fail(calls, 3)
        let_time_pass(5)

        assert calls.granted(1) == 0
