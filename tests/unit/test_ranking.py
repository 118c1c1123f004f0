"""Which spans are offered, and in which order."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.weather.forecast import Forecast
from core.weather.ranking import Offer, best_offers, satisfies
from core.weather.rules import Rule
from core.weather.spans import Span
from tests.forecasts import FINE, HOUR, fine_forecast

START = datetime(2026, 5, 1, tzinfo=UTC)
LENGTH = 48


def forecast(**bad: Mapping[int, float | None]) -> Forecast:
    return fine_forecast(START, LENGTH, **bad)


def span(start: float, hours: float = 1) -> Span:
    return Span(START + start * HOUR, START + (start + hours) * HOUR)


def hourly(hours: float = 1) -> list[Span]:
    return [span(start, hours) for start in range(LENGTH - int(hours) + 1)]


def starts(offers: list[Offer]) -> list[float]:
    return [(offer.span.starts_at - START) / HOUR for offer in offers]


def test_only_spans_that_satisfy_the_rule_all_the_time_are_offered() -> None:
    known = forecast(wind={1: 31, 2: 30, 4: None})
    two_hours = [span(start, 2) for start in range(5)]

    assert starts(best_offers(two_hours, known, Rule(max_wind=30), "ok", limit=5)) == [2]


def test_after_a_warning_a_span_must_be_good_enough_to_clear_it() -> None:
    known = forecast(wind={0: 29.9})

    assert satisfies(Rule(max_wind=30), [known.at(START)], "ok")  # type: ignore[list-item] # The forecast has this hour.
    assert starts(best_offers([span(0), span(1)], known, Rule(max_wind=30), "warned", limit=5)) == [1]


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({}, {"rain_probability": {0: 30}}),
        ({}, {"rain": {0: 1.0}}),
        ({}, {"wind": {0: 25}}),
        ({}, {"gusts": {0: 50}}),
        ({}, {"temperature": {0: 30}}),
        ({}, {"temperature": {0: 2}}),
        ({}, {"wind": {0: None}}),
    ],
)
def test_milder_drier_and_calmer_weather_comes_first(better: dict[str, Any], worse: dict[str, Any]) -> None:
    """The worse span is the sooner one, which would come first if nothing else made a difference."""
    assert starts(best_offers([span(0), span(9)], forecast(**better | worse), None, "unknown", limit=2)) == [9, 0]


def test_a_span_that_is_further_from_the_limits_comes_first() -> None:
    cool = Rule(max_temperature=20)
    known = forecast(temperature={0: 19.8, 9: 16.2})

    assert starts(best_offers([span(0), span(9)], known, None, "unknown", limit=2)) == [0, 9]
    assert starts(best_offers([span(0), span(9)], known, cool, "unknown", limit=2)) == [9, 0]


def test_of_equally_good_spans_the_sooner_one_comes_first() -> None:
    assert starts(best_offers([span(9), span(0)], forecast(wind={0: 5.2}), None, "unknown", limit=2)) == [0, 9]


def test_the_offers_are_spread_as_long_as_there_are_others() -> None:
    assert starts(best_offers(hourly()[:12], forecast(), None, "unknown", limit=4)) == [0, 3, 6, 9]
    assert starts(best_offers(hourly()[:4], forecast(), None, "unknown", limit=4)) == [0, 1, 2, 3]


def test_nothing_is_offered_where_nothing_is_known() -> None:
    unknown: dict[str, dict[int, float | None]] = {name: {0: None} for name in FINE}

    assert best_offers([span(0)], forecast(**unknown), None, "unknown", limit=1) == []


@given(
    st.lists(st.tuples(st.integers(0, LENGTH - 6), st.integers(1, 6)), max_size=20),
    st.dictionaries(st.integers(0, LENGTH - 1), st.floats(0, 120)),
    st.integers(1, 6),
)
def test_offers_never_overlap_nor_break_the_rule_and_are_sorted(
    spans: list[tuple[int, int]], wind: dict[int, float | None], limit: int
) -> None:
    known, rule = forecast(wind=wind), Rule(max_wind=40)
    offers = best_offers([span(*one) for one in spans], known, rule, "unknown", limit)

    assert len(offers) <= limit
    assert offers == sorted(offers, key=lambda offer: offer.rank)
    assert not any(one.span.overlaps(other.span) for number, one in enumerate(offers) for other in offers[number + 1 :])
    assert all((offer.expected.wind or 0) <= 40 for offer in offers)
