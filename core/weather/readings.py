"""Values of the documents of providers, which are checked before anything is done with them."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from core.weather.forecast import Forecast, Series

SeriesName = Literal["temperature", "feels_like", "rain_probability", "rain", "weather_code", "wind", "gusts"]

_LARGEST_NUMBER: Final = 100_000
_LONGEST_TEXT: Final = 200
_LARGEST_WHOLE_NUMBER: Final = 2**63 - 1
_TIMEZONE: Final = re.compile(r"[A-Za-z0-9_+/-]{1,64}")
_COUNTRY_CODE: Final = re.compile(r"[A-Za-z]{2}")
_MOST_STEPS: Final = 24 * 20

# What is outside cannot have been measured: °C, %, mm in a step, a code of the WMO, km/h.
_POSSIBLE: Final[dict[SeriesName, tuple[float, float]]] = {
    "temperature": (-150, 150),
    "feels_like": (-150, 150),
    "rain_probability": (0, 100),
    "rain": (0, 3000),
    "weather_code": (0, 99),
    "wind": (0, 1000),
    "gusts": (0, 1000),
}

_NUMBERS: Final = (float, int)

Readings = Mapping[SeriesName, Any]
"""The values of one time, as a document has them."""

Columns = Mapping[SeriesName, Mapping[int, Any]]
"""The values of each series by their time, in seconds since 1970."""


def number(value: Any) -> float:
    """Return a number of a document. What cannot be a measurement, such as NaN, raises ValueError."""
    result = float(value)
    if not abs(result) < _LARGEST_NUMBER:
        raise ValueError
    return result


def text(*parts: Any) -> str:
    """Return texts of a document as one line of bounded length, since all who see the task see this line."""
    joined = ", ".join(str(part) for part in parts if part)
    return "".join(filter(str.isprintable, joined))[:_LONGEST_TEXT]


def text_or_none(value: Any) -> str | None:
    """Return a text of a document, or None if there is none."""
    return text(value) or None


def required_text(value: Any) -> str:
    """Return a text of a document. If nothing printable is in it, ValueError is raised."""
    if not (found := text(value)):
        raise ValueError
    return found


def whole_number(value: Any) -> int:
    """Return an id or a count of a document. What is no such number raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LARGEST_WHOLE_NUMBER:
        raise ValueError
    return value


def timezone(value: Any) -> str | None:
    """Return the name of a time zone, or None if it cannot be one."""
    return value if isinstance(value, str) and _TIMEZONE.fullmatch(value) else None


def country_code(value: Any) -> str | None:
    """Return a country's code of two letters, or None if there is none."""
    return value.upper() if isinstance(value, str) and _COUNTRY_CODE.fullmatch(value) else None


def coordinate(value: Any, largest: int) -> float:
    """Return a latitude or longitude. What is outside the earth raises ValueError."""
    degrees = float(value)
    if not abs(degrees) <= largest:
        raise ValueError
    return degrees


def forecast_of(provider: str, step: timedelta, at: Columns, before: Columns, fetched_at: datetime) -> Forecast:
    """Return a forecast from what holds at times, and from what holds for the step before times.

    What is missing, or cannot have been measured, is None.

    Raises:
        ValueError: if there are no times, or if they are not a whole number of steps apart.
    """
    seconds = step // timedelta(seconds=1)
    known = {time for column in at.values() for time in column}
    first, last = min(known), max(known)
    steps = (last - first) // seconds + 1
    if steps > _MOST_STEPS or any((time - first) % seconds for time in known):
        raise ValueError
    times, ends = range(first, last + 1, seconds), range(first + seconds, last + seconds + 1, seconds)
    series = {
        name: _series(at[name], times, limits) if name in at else _series(before.get(name, {}), ends, limits)
        for name, limits in _POSSIBLE.items()
    }
    return Forecast(provider, fetched_at, datetime.fromtimestamp(first, UTC), step, **series)


def _series(column: Mapping[int, Any], times: Iterable[int], limits: tuple[float, float]) -> Series:
    lowest, highest = limits
    # This runs for some thousand values of each place. NaN is not within any limits, and `type` leaves out booleans.
    values: Iterable[Any] = map(column.get, times)
    return tuple(float(value) if type(value) in _NUMBERS and lowest <= value <= highest else None for value in values)
