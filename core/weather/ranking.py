"""Which spans have the best weather for a task."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from core.weather.expected import Expected
from core.weather.forecast import Forecast, Hour
from core.weather.rules import Rule, State, hours_of_span, judge
from core.weather.spans import Span

# Spans that begin closer together than this are nearly the same choice.
_APART: Final = timedelta(hours=3)

# How far from a limit nobody thinks about it any more, and which weather could hardly be less comfortable.
_FAR_PERCENT, _WORST_PERCENT = 20, 100
_FAR_MM, _WORST_MM = 1, 5
_FAR_WIND, _WORST_WIND = 15, 60
_FAR_GUSTS, _WORST_GUSTS = 20, 90
_FAR_DEGREES, _WORST_DEGREES = 5, 25
_MILD_DEGREES: Final = 18
_UNKNOWN: Final = 0.5


@dataclass(frozen=True, slots=True)
class Offer:
    """A span with the weather that is expected then. Less discomfort is better."""

    span: Span
    expected: Expected
    discomfort: float

    @property
    def rank(self) -> tuple[float, Span]:
        """Sort by this to have the best offer first: of two that are equally comfortable, the sooner one."""
        return round(self.discomfort, 1), self.span


def best_offers(
    spans: Iterable[Span], forecast: Forecast, rule: Rule | None, was: State | None, limit: int
) -> list[Offer]:
    """Return up to `limit` spans, the best first, of which no two overlap.

    All of them satisfy the rule, judged after the state `was`. As long as there are others, they begin some hours apart
    from each other.
    """
    ranked = sorted(_offers(spans, forecast, rule, was), key=lambda offer: offer.rank)
    chosen = _chosen([], ranked, limit, _APART)
    return sorted(_chosen(chosen, ranked, limit, timedelta(0)), key=lambda offer: offer.rank)


def satisfies(rule: Rule | None, hours: list[Hour], was: State | None) -> bool:
    """Whether the weather of some hours is known, and satisfies the rule if there is one."""
    return bool(Expected.over(hours).in_words()) and (rule is None or judge(rule, hours, was).state == "ok")


def _offers(spans: Iterable[Span], forecast: Forecast, rule: Rule | None, was: State | None) -> Iterator[Offer]:
    for span in spans:
        hours = hours_of_span(forecast, span.starts_at, span.ends_at)
        if satisfies(rule, hours, was):
            expected = Expected.over(hours)
            yield Offer(span, expected, _discomfort(expected) + _nearness(rule, expected, hours))


def _chosen(chosen: list[Offer], ranked: list[Offer], limit: int, apart: timedelta) -> list[Offer]:
    """Return the chosen offers and further ones, up to `limit`, that do not overlap and begin this far apart."""
    chosen = list(chosen)
    for offer in ranked:
        if len(chosen) < limit and not any(_is_near(offer.span, other.span, apart) for other in chosen):
            chosen.append(offer)
    return chosen


def _is_near(span: Span, other: Span, apart: timedelta) -> bool:
    return span.overlaps(other) or abs(span.starts_at - other.starts_at) < apart


def _discomfort(expected: Expected) -> float:
    """Return how uncomfortable the weather is in itself: a sum of parts from 0 to 1, one for each value."""
    temperature = expected.temperature
    return sum(
        (
            _part(expected.rain_probability, _WORST_PERCENT),
            _part(expected.rain, _WORST_MM),
            _part(expected.wind, _WORST_WIND),
            _part(expected.gusts, _WORST_GUSTS),
            _part(None if temperature is None else abs(temperature - _MILD_DEGREES), _WORST_DEGREES),
        )
    )


def _part(value: float | None, worst: float) -> float:
    return _UNKNOWN if value is None else min(value / worst, 1)


def _nearness(rule: Rule | None, expected: Expected, hours: list[Hour]) -> float:
    """Return how near the weather is to the nearest limit of the rule: from 0, which is far away, to 1 at the limit."""
    if rule is None:
        return 0
    temperatures = [hour.temperature for hour in hours if hour.temperature is not None]
    limits = (
        (rule.max_rain_probability, expected.rain_probability, _FAR_PERCENT),
        (rule.max_rain_mm, expected.rain, _FAR_MM),
        (rule.max_wind, expected.wind, _FAR_WIND),
        (rule.max_gusts, expected.gusts, _FAR_GUSTS),
        (rule.max_temperature, max(temperatures, default=None), _FAR_DEGREES),
        (rule.min_temperature, min(temperatures, default=None), _FAR_DEGREES),
    )
    return max(
        1 - min(abs(limit - value) / far, 1) if limit is not None and value is not None else 0
        for limit, value, far in limits
    )
