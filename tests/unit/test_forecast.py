"""The hours of a forecast that belong to a span of time."""

from datetime import UTC, datetime, timedelta

import pytest

from core.weather.forecast import Forecast

START = datetime(2026, 5, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def forecast(hours: int = 4, step: timedelta = HOUR) -> Forecast:
    """Return a forecast whose temperature in each step is the number of the step, and that knows nothing else."""
    unknown = (None,) * hours
    temperature = tuple(map(float, range(hours)))
    return Forecast("tests", START, START, step, temperature, *(unknown,) * 6)


def temperatures(start: float, end: float) -> list[float | None]:
    return [hour.temperature for hour in forecast().between(START + start * HOUR, START + end * HOUR)]


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (1, 2, [1]),
        (0.5, 1.5, [0, 1]),
        (1, 1, [1]),
        (1.5, 1.5, [1]),
        (-2, 1, [0]),
        (3, 9, [3]),
        (-2, -1, []),
        (4, 5, []),
    ],
)
def test_the_hours_of_a_span_are_those_that_overlap_it(start: float, end: float, expected: list[float]) -> None:
    assert temperatures(start, end) == expected


def test_a_step_of_three_hours_is_found_by_any_instant_in_it() -> None:
    found = forecast(step=3 * HOUR).at(START + 5.9 * HOUR)

    assert found is not None
    assert (found.temperature, found.begins_at, found.ends_at) == (1, START + 3 * HOUR, START + 6 * HOUR)
    assert found.weather_code is None


def test_nothing_is_known_before_the_first_step_and_from_the_end_of_the_last_one_on() -> None:
    assert forecast().at(START - timedelta(seconds=1)) is None
    assert forecast().at(START + 4 * HOUR) is None
    assert forecast().covers(START, START + 4 * HOUR)
    assert not forecast().covers(START + HOUR, START + 4.5 * HOUR)
