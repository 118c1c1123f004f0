"""The weather rules: which forecasts satisfy them, and how far a value must be back before a warning ends."""

import math
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.weather.forecast import Forecast, Hour
from core.weather.rules import Rule, State, effective_rule, expectations, hours_of_span, judge

START = datetime(2026, 5, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
GOOD: dict[str, float | None] = {
    "temperature": 15.0, "feels_like": 15.0, "rain_probability": 10.0, "rain": 0.0, "weather_code": 0, "wind": 5.0,
    "gusts": 10.0,
}  # fmt: skip
SERIES = {
    "max_rain_probability": "rain_probability",
    "max_rain_mm": "rain",
    "max_wind": "wind",
    "max_gusts": "gusts",
    "min_temperature": "temperature",
    "max_temperature": "temperature",
}
NAMES = sorted(SERIES)


def hours(*values: dict[str, float | None]) -> list[Hour]:
    """Return steps of an hour with good weather, apart from these values."""
    return [
        Hour(START + number * HOUR, START + (number + 1) * HOUR, **(GOOD | changed))  # type: ignore[arg-type]  # A code is a float here.
        for number, changed in enumerate(values)
    ]


def forecast(rain: list[float], step: timedelta = HOUR) -> Forecast:
    unknown = (None,) * len(rain)
    return Forecast("tests", START, START, step, unknown, unknown, unknown, tuple(rain), *(unknown,) * 3)


def rule(name: str, limit: float) -> Rule:
    return Rule(**{name: limit})


def state(name: str, limit: float, value: float | None, was: State | None = None, **others: Any) -> State:
    return judge(rule(name, limit), hours({SERIES[name]: value}), was, **others).state


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("was", [None, "ok", "warned", "unknown"])
def test_a_value_at_its_limit_is_good_and_one_beyond_it_is_bad(name: str, was: State | None) -> None:
    beyond = -0.1 if name == "min_temperature" else 0.1

    assert state(name, 20, 20, None if was == "warned" else was) == "ok"
    assert state(name, 20, 20 + beyond, was) == "warned"


@pytest.mark.parametrize(
    ("name", "limit", "kept", "cleared"),
    [
        ("max_rain_probability", 40, 35.1, 35),
        ("max_rain_probability", 4, 2.1, 2),
        ("max_rain_probability", 0, 0.1, 0),
        ("max_rain_mm", 1, 0.8, 0.7),
        ("max_rain_mm", 20, 18.1, 18),
        ("max_wind", 30, 25.1, 25),
        ("max_gusts", 6, 3.1, 3),
        ("min_temperature", 5, 5.9, 6),
        ("max_temperature", 25, 24.1, 24),
    ],
)
def test_a_warning_ends_when_the_value_is_back_by_a_margin(
    name: str, limit: float, kept: float, cleared: float
) -> None:
    assert (state(name, limit, kept, "warned"), state(name, limit, cleared, "warned")) == ("warned", "ok")
    assert state(name, limit, kept if kept != 0.1 else 0, "ok") == "ok"


def test_a_limit_that_the_warning_was_not_about_has_no_margin() -> None:
    assert state("max_wind", 30, 29, "warned", warned_by={"max_gusts"}) == "ok"
    assert state("max_wind", 30, 29, "warned", warned_by={"max_wind"}) == "warned"


def test_a_narrow_range_of_temperatures_can_end_its_own_warning() -> None:
    narrow = Rule(min_temperature=10, max_temperature=10.5)

    assert judge(narrow, hours({"temperature": 10.25}), "warned").state == "ok"


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_value_is_unknown_unless_a_known_one_is_bad(name: str) -> None:
    bad = -90.0 if name == "min_temperature" else 90.0

    assert judge(rule(name, 50), [], "ok").state == "unknown"
    assert judge(rule(name, 0 if name == "min_temperature" else 50), hours({}, {SERIES[name]: None}), "ok").state == (
        "unknown"
    )
    assert judge(rule(name, 50), hours({SERIES[name]: None}, {SERIES[name]: bad}), "ok").state == "warned"


def test_a_value_that_no_limit_needs_may_be_missing() -> None:
    assert judge(Rule(max_wind=30), hours({"rain": None, "gusts": None}), None).state == "ok"


def test_the_reasons_name_each_bad_limit_with_its_worst_hour() -> None:
    verdict = judge(
        Rule(max_gusts=50, max_rain_mm=1, min_temperature=0, max_wind=40),
        hours({"rain": 0.6}, {"rain": 0.7, "gusts": 63}, {"gusts": 70, "temperature": -3}),
        "ok",
    )

    assert verdict.state == "warned"
    assert [reason.as_dict() for reason in verdict.reasons] == [
        {"limit": "max_rain_mm", "allowed": 1, "expected": 1.3, "at": START + HOUR},
        {"limit": "max_gusts", "allowed": 50, "expected": 70, "at": START + 2 * HOUR},
        {"limit": "min_temperature", "allowed": 0, "expected": -3, "at": START + 2 * HOUR},
    ]


@pytest.mark.parametrize(
    ("start", "end", "rain"),
    [(1, 2, 2), (0.5, 1.5, 1.5), (1.25, 1.75, 1), (-1, 1, 1), (2, 3, 4), (2.5, 4, None), (-2, 0, None), (3, 4, None)],
)
def test_rain_counts_for_the_part_of_a_step_that_is_in_the_span(start: float, end: float, rain: float | None) -> None:
    found = expectations(
        Rule(max_rain_mm=0), hours_of_span(forecast([1, 2, 4]), START + start * HOUR, START + end * HOUR)
    )

    assert [reason.expected for reason in found] == ([] if rain is None else [rain])


def test_a_step_of_three_hours_gives_a_third_of_its_rain_to_an_hour() -> None:
    (hour,) = hours_of_span(forecast([3.0], 3 * HOUR), START + HOUR, START + 2 * HOUR)

    assert (hour.rain, hour.begins_at, hour.ends_at) == (1.0, START + HOUR, START + 2 * HOUR)


@pytest.mark.parametrize(
    ("own", "profile", "expected"),
    [
        ({"max_wind": 3}, {"max_gusts": 4}, Rule(max_wind=3)),
        (None, {"max_gusts": 4}, Rule(max_gusts=4)),
        (None, None, None),
        ({}, None, None),
    ],
)
def test_the_rule_of_the_task_comes_before_that_of_the_profile(
    own: dict[str, float] | None, profile: dict[str, float] | None, expected: Rule | None
) -> None:
    assert effective_rule(own, profile) == expected


VALUES = st.floats(0, 100).map(lambda value: round(value, 1))
WEATHER = st.lists(
    st.fixed_dictionaries({series: st.none() | VALUES for series in sorted(set(SERIES.values()))}),
    min_size=1,
    max_size=6,
).map(lambda values: hours(*values))
RULES = st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, VALUES)).filter(bool).map(Rule.from_json)
STATES = st.sampled_from([None, "ok", "warned", "unknown"])


@given(rule=RULES, weather=WEATHER, was=STATES)
def test_ok_means_that_everything_is_known_and_inside_its_limit(
    rule: Rule, weather: list[Hour], was: State | None
) -> None:
    verdict = judge(rule, weather, was)

    for name, limit in rule.limits():
        values = [getattr(hour, SERIES[name]) for hour in weather]
        if verdict.state == "ok":
            assert None not in values
            total = round(math.fsum(values), 2) if name == "max_rain_mm" else max(values)
            assert min(values) >= limit if name == "min_temperature" else total <= limit
    assert (verdict.state == "warned") == bool(verdict.reasons)


@given(rule=RULES, weather=WEATHER, was=STATES.filter(lambda was: was != "warned"))
def test_a_new_warning_is_about_values_beyond_their_limits(rule: Rule, weather: list[Hour], was: State | None) -> None:
    for reason in judge(rule, weather, was).reasons:
        is_minimum = reason.limit == "min_temperature"
        assert reason.expected < reason.allowed if is_minimum else reason.expected > reason.allowed


@given(name=st.sampled_from(NAMES), limit=st.floats(20, 80), offsets=st.lists(st.floats(-0.9, 0.9), max_size=30))
def test_a_value_that_trembles_around_its_limit_warns_at_most_once(
    name: str, limit: float, offsets: list[float]
) -> None:
    was: State = "ok"
    warnings = 0
    for offset in offsets:
        now = state(name, limit, limit + offset, was)
        warnings += (was, now) == ("ok", "warned")
        was = now

    assert warnings <= 1


@given(rule=RULES)
def test_some_weather_ends_any_warning(rule: Rule) -> None:
    lowest = -50.0 if rule.min_temperature is None else rule.min_temperature
    highest = 150.0 if rule.max_temperature is None else max(rule.max_temperature, lowest)
    best = {"rain_probability": 0.0, "rain": 0.0, "wind": 0.0, "gusts": 0.0, "temperature": (lowest + highest) / 2}
    without_contradiction = rule if rule.max_temperature is None else replace(rule, max_temperature=highest)

    assert judge(without_contradiction, hours(best), "warned").state == "ok"


@given(rain=st.lists(st.floats(0, 50), min_size=1, max_size=8), cut=st.floats(0.01, 0.99))
def test_the_rain_of_two_parts_is_that_of_the_whole(rain: list[float], cut: float) -> None:
    known = forecast(rain)
    between = START + cut * len(rain) * HOUR

    parts = [*hours_of_span(known, START, between), *hours_of_span(known, between, known.ends_at)]

    assert math.isclose(sum(hour.rain or 0 for hour in parts), sum(rain), abs_tol=1e-6)
    assert all(asdict(hour)["begins_at"] < hour.ends_at for hour in parts)
