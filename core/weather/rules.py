"""Rules of the weather that a task bears: judges the forecast of its span, with an allowance after a warning.

Units: °C, mm over the whole span, %, and km/h.
"""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal, Self

from core.weather.forecast import Forecast, Hour

State = Literal["ok", "warned", "unknown"]
"""Whether the forecast satisfies a rule; `unknown` if it does not say so."""

# How far a value must be back inside its limit before a warning ends. Forecasts change by about this much from one
# fetch to the next, and without a margin each such change around the limit would warn people again.
_PERCENT_MARGIN: Final = 5.0
_RAIN_MARGIN_MM: Final = 0.3
_RAIN_MARGIN_SHARE: Final = 0.1
_WIND_MARGIN_KM_H: Final = 5.0
_TEMPERATURE_MARGIN: Final = 1.0


@dataclass(frozen=True, slots=True)
class Rule:
    """The limits of a rule; None does not matter."""

    max_rain_probability: float | None = None
    max_rain_mm: float | None = None
    max_wind: float | None = None
    max_gusts: float | None = None
    min_temperature: float | None = None
    max_temperature: float | None = None

    @classmethod
    def from_json(cls, content: Mapping[str, float]) -> Self:
        """Read a rule as the database keeps it: the limits that it has, by name."""
        return cls(**content)

    def limits(self) -> Iterator[tuple[str, float]]:
        """Return the names and the values of the limits that it has."""
        for name, allowed in asdict(self).items():
            if allowed is not None:
                yield name, allowed


@dataclass(frozen=True, slots=True)
class Reason:
    """What is expected in comparison with one limit, and when: `at` is the worst time, the beginning of a step."""

    limit: str
    allowed: float
    expected: float
    at: datetime

    def as_dict(self) -> dict[str, Any]:
        """Return it in the form of events and notifications."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The state of a task, and, if it is `warned`, the limits that the forecast does not satisfy."""

    state: State
    reasons: tuple[Reason, ...] = ()


UNKNOWN: Final = Verdict("unknown")


def _sum(values: Sequence[float]) -> float:
    # The share of an hour may be a periodic fraction, and a sum of 0.30000000000000004 mm is not above 0.3 mm.
    return round(math.fsum(values), 2)


def _rain_margin(allowed: float) -> float:
    return max(_RAIN_MARGIN_MM, _RAIN_MARGIN_SHARE * allowed)


@dataclass(frozen=True, slots=True)
class _Measure:
    """How a limit is compared: the series of the forecast, the summary of its values, and the margin of a limit."""

    series: str
    summary: Callable[[Sequence[float]], float]
    margin: Callable[[float], float]
    is_minimum: bool = False

    def exceeded(self, expected: float, limit: float) -> bool:
        return expected < limit if self.is_minimum else expected > limit

    def worst_first(self, value: float) -> float:
        return value if self.is_minimum else -value


_MEASURES: Final = {
    "max_rain_probability": _Measure("rain_probability", max, lambda _: _PERCENT_MARGIN),
    "max_rain_mm": _Measure("rain", _sum, _rain_margin),
    "max_wind": _Measure("wind", max, lambda _: _WIND_MARGIN_KM_H),
    "max_gusts": _Measure("gusts", max, lambda _: _WIND_MARGIN_KM_H),
    "min_temperature": _Measure("temperature", min, lambda _: _TEMPERATURE_MARGIN, is_minimum=True),
    "max_temperature": _Measure("temperature", max, lambda _: _TEMPERATURE_MARGIN),
}
LIMITS: Final = frozenset(_MEASURES)


def effective_rule(task_rule: Mapping[str, float] | None, profile_rule: Mapping[str, float] | None) -> Rule | None:
    """Return the rule of a task: its own one, or that of its owner's profile; None if there is neither."""
    content = task_rule or profile_rule
    return Rule.from_json(content) if content else None


def margin_of(limit: str, allowed: float) -> float:
    """Return how far a value must be back inside a limit, by its name, before it counts as good again."""
    margin = _MEASURES[limit].margin(allowed)
    # Other values are never below zero, so with a larger margin nothing could be back inside.
    return margin if limit.endswith("_temperature") else min(margin, allowed / 2)


def hours_of_span(forecast: Forecast, start: datetime, end: datetime) -> list[Hour]:
    """Return the steps of a forecast that overlap a span, cut to it: the rain of a cut step is that of its part.

    There are none if the forecast does not contain the end of the span. What lies before the first step is left out,
    since a forecast that is fetched during a span begins inside it.
    """
    if not forecast.starts_at < end <= forecast.ends_at:
        return []
    return [_cut(hour, start, end) for hour in forecast.between(start, end)]


def judge(rule: Rule, hours: Sequence[Hour], was: State | None, warned_by: Collection[str] = LIMITS) -> Verdict:
    """Judge the steps of a task's span, which `hours_of_span()` returns.

    Args:
        rule: The limits.
        hours: The steps.
        was: The state before. After a warning, a value counts as bad until it is back by a margin, so that a value
            that trembles around its limit does not warn twice.
        warned_by: The names of the limits that the warning was about. Only these need the margin.

    Returns:
        `warned` if any value that is known is beyond its limit, otherwise `unknown` if any needed value is missing.
    """
    if not hours:
        return UNKNOWN
    held = warned_by if was == "warned" else ()
    found = expectations(rule, hours)
    reasons = tuple(reason for reason in found if _is_bad(rule, reason, is_held=reason.limit in held))
    if reasons:
        return Verdict("warned", reasons)
    return Verdict("ok") if _is_complete(rule, hours) else UNKNOWN


def expectations(rule: Rule, hours: Sequence[Hour]) -> list[Reason]:
    """Return what is expected for each limit of a rule, as far as any step knows it."""
    return [reason for name, allowed in rule.limits() if (reason := _expectation(name, allowed, hours)) is not None]


def _expectation(name: str, allowed: float, hours: Sequence[Hour]) -> Reason | None:
    measure = _MEASURES[name]
    known = [(getattr(hour, measure.series), hour.begins_at) for hour in hours]
    known = [(value, at) for value, at in known if value is not None]
    if not known:
        return None
    _, at = min(known, key=lambda item: (measure.worst_first(item[0]), item[1]))
    return Reason(name, allowed, measure.summary([value for value, _ in known]), at)


def _is_bad(rule: Rule, reason: Reason, *, is_held: bool) -> bool:
    measure = _MEASURES[reason.limit]
    margin = _margin(rule, reason) if is_held else 0.0
    return measure.exceeded(reason.expected, reason.allowed + (margin if measure.is_minimum else -margin))


def _margin(rule: Rule, reason: Reason) -> float:
    """Return the margin of a limit, but never so much that no weather could end the warning."""
    margin = margin_of(reason.limit, reason.allowed)
    if not reason.limit.endswith("_temperature") or rule.min_temperature is None or rule.max_temperature is None:
        return margin
    return min(margin, (rule.max_temperature - rule.min_temperature) / 2)


def _is_complete(rule: Rule, hours: Sequence[Hour]) -> bool:
    needed = {_MEASURES[name].series for name, _ in rule.limits()}
    return all(getattr(hour, series) is not None for hour in hours for series in needed)


def _cut(hour: Hour, start: datetime, end: datetime) -> Hour:
    begins_at, ends_at = max(hour.begins_at, start), min(hour.ends_at, end)
    if hour.rain is None:
        return replace(hour, begins_at=begins_at, ends_at=ends_at)
    share = (ends_at - begins_at) / (hour.ends_at - hour.begins_at)
    return replace(hour, begins_at=begins_at, ends_at=ends_at, rain=hour.rain * share)
