"""The weather of a span, as one value of each kind and in words of five languages."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from core.messages import translate
from core.weather.expected import Expected
from core.weather.forecast import Hour

START = datetime(2026, 5, 1, tzinfo=UTC)
FINE = Expected(temperature=13.6, rain_probability=5, rain=0, wind=12.4, gusts=25)


def hour(**values: float | None) -> Hour:
    known = dict.fromkeys(("temperature", "feels_like", "rain_probability", "rain", "wind", "gusts"))
    return Hour(begins_at=START, ends_at=START + timedelta(hours=1), weather_code=None, **(known | values))


def test_the_hours_of_a_span_are_summed_up_by_mean_total_and_maximum() -> None:
    hours = [
        hour(temperature=10.0, rain_probability=20, rain=0.1, wind=9.5, gusts=30),
        hour(temperature=13.0, rain_probability=50, rain=0.2, wind=5),
        hour(temperature=None, rain=None),
    ]

    assert Expected.over(hours) == Expected(temperature=11.5, rain_probability=50, rain=0.3, wind=9.5, gusts=30)


def test_hours_of_which_nothing_is_known_have_no_values_and_no_words() -> None:
    nothing = Expected.over([hour()])

    assert nothing == Expected.over([]) == Expected(None, None, None, None, None)
    assert nothing.in_words() == ""


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        (FINE, "dry, 14 °C, 12 km/h"),
        (replace(FINE, temperature=-0.4), "dry, 0 °C, 12 km/h"),
        (replace(FINE, rain=0.09, rain_probability=19), "dry, 14 °C, 12 km/h"),
        (replace(FINE, rain_probability=20), "a 20 % chance of rain, 14 °C, 12 km/h"),
        (replace(FINE, rain=0.1, rain_probability=80), "up to 1 mm of rain (80 %), 14 °C, 12 km/h"),
        (replace(FINE, rain=1.2, rain_probability=None), "up to 2 mm of rain, 14 °C, 12 km/h"),
        (replace(FINE, gusts=61.6), "dry, 14 °C, 12 km/h, gusts of 62 km/h"),
        (replace(FINE, rain=None, rain_probability=None, wind=None), "14 °C"),
    ],
)
def test_the_words_say_what_people_decide_by(expected: Expected, words: str) -> None:
    assert expected.in_words() == words


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("de", "trocken, 14 °C, 12 km/h"),
        ("es", "seco, 14 °C, 12 km/h"),
        ("fr", "sec, 14 °C, 12 km/h"),
        ("ru", "без осадков, 14 °C, 12 км/ч"),
    ],
)
def test_the_words_are_translated(language: str, words: str) -> None:
    assert translate(FINE.in_words(), language) == words
