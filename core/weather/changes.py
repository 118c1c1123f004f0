"""Which changes of a forecast people decide by."""

from collections.abc import Mapping
from typing import Any, Final

from core.weather.forecast import Hour
from core.weather.rules import margin_of

Told = Mapping[str, Any]
"""What somebody was told: `condition` (a class), `rain_probability` in % and `temperature` in °C; None if unknown."""

_CLASSES: Final = {
    "dry": (0, 1, 2, 3),
    "fog": (45, 48),
    "rain": (51, 53, 55, 61, 63, 65, 80, 81, 82),
    "freezing rain": (56, 57, 66, 67),
    "snow": (71, 73, 75, 77, 85, 86),
    "thunderstorm": (95, 96, 99),
}
CLASS_OF_CODE: Final = {code: name for name, codes in _CLASSES.items() for code in codes}
"""The class of each WMO code. Drizzle, showers and steady rain are one class: one needs an umbrella for each."""

_RAIN_POINTS: Final = 20
_DEGREES: Final = 3


def summary(hour: Hour) -> dict[str, Any]:
    """Return what people decide by in the forecast of an hour."""
    return {
        "condition": None if hour.weather_code is None else CLASS_OF_CODE.get(hour.weather_code),
        "rain_probability": hour.rain_probability,
        "temperature": hour.temperature,
    }


def with_unknown_from(values: Told, others: Told) -> dict[str, Any]:
    """Return values, with others for those that are unknown."""
    return {name: others[name] if values.get(name) is None else values[name] for name in others}


def changes(told: Told, now: Told, rain_threshold: float | None) -> dict[str, dict[str, Any]]:
    """Return what has changed so much that people may decide differently, by name, as `{"from": …, "to": …}`.

    What is unknown now or was unknown then has not changed. `rain_threshold` is the highest probability of rain in %
    that the task's rule allows, if it has one.
    """
    known = {name for name, value in now.items() if value is not None and told.get(name) is not None}
    return {
        name: {"from": told[name], "to": now[name]}
        for name in now
        if name in known and _matters(name, told[name], now[name], rain_threshold)
    }


def _matters(name: str, before: Any, after: Any, rain_threshold: float | None) -> bool:
    match name:
        case "condition":
            return bool(before != after)
        case "rain_probability":
            crossed = rain_threshold is not None and _crossed(before, after, rain_threshold)
            return crossed or bool(abs(after - before) >= _RAIN_POINTS)
        case _:
            # Both are tenths, whose difference as floats may be slightly less than it is in decimals.
            return bool(round(abs(after - before), 1) >= _DEGREES)


def _crossed(before: float, after: float, threshold: float) -> bool:
    """Whether a probability of rain has crossed the limit of a rule; on the way back by the margin that rules have."""
    if before > threshold:
        return after <= threshold - margin_of("max_rain_probability", threshold)
    return after > threshold
