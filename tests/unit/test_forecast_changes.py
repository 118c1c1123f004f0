"""What counts as a change of a forecast."""

from typing import Any

import pytest

from core.weather.changes import CLASS_OF_CODE, changes, summary, with_unknown_from
from core.weather.conditions import CONDITIONS
from tests.forecasts import hours

TOLD: dict[str, Any] = {"condition": "dry", "rain_probability": 40.0, "temperature": 10.0}


def test_every_condition_has_a_class() -> None:
    assert CLASS_OF_CODE.keys() == CONDITIONS.keys()


@pytest.mark.parametrize(("code", "condition"), [(61.0, "rain"), (80.0, "rain"), (95.0, "thunderstorm"), (None, None)])
def test_an_hour_is_summed_up_by_its_class(code: float | None, condition: str | None) -> None:
    forecast = hours(weather_code=code, rain_probability=70.0, temperature=-2.5)

    assert summary(next(forecast.between(forecast.starts_at, forecast.ends_at))) == {
        "condition": condition,
        "rain_probability": 70.0,
        "temperature": -2.5,
    }


@pytest.mark.parametrize(
    ("name", "value", "threshold", "is_told"),
    [
        ("condition", "rain", None, True),
        ("condition", None, None, False),
        ("rain_probability", 59.0, None, False),
        ("rain_probability", 60.0, None, True),
        ("rain_probability", 20.0, None, True),
        ("rain_probability", 45.0, 44.0, True),
        ("rain_probability", 45.0, 45.0, False),
        ("rain_probability", 31.0, 35.0, False),
        ("rain_probability", 30.0, 35.0, True),
        ("rain_probability", 45.0, 30.0, False),
        ("temperature", 12.9, None, False),
        ("temperature", 13.0, None, True),
        ("temperature", 7.0, None, True),
        ("temperature", None, None, False),
    ],
)
def test_only_what_people_decide_by_is_a_change(name: str, value: Any, threshold: float | None, is_told: bool) -> None:
    changed = changes(TOLD, TOLD | {name: value}, threshold)

    assert changed == ({name: {"from": TOLD[name], "to": value}} if is_told else {})


def test_three_degrees_in_tenths_are_three_degrees() -> None:
    """As floats, 5.3 - 2.3 is less than 3."""
    assert changes({"temperature": 5.3}, {"temperature": 2.3}, None)


def test_what_was_unknown_is_not_a_change_and_is_known_from_then_on() -> None:
    was = TOLD | {"temperature": None}

    assert changes(was, TOLD, None) == {}
    assert with_unknown_from(was, TOLD) == TOLD
