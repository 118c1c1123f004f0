"""Spans of time: where one of a given length fits between others."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Self

from core.weather.forecast import Forecast

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# All time zones are a multiple of a quarter of an hour away from UTC, so that these are quarters everywhere.
_QUARTER: Final = timedelta(minutes=15)


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """The time from one instant to another; the end does not belong to it."""

    starts_at: datetime
    ends_at: datetime

    def overlaps(self, other: "Span") -> bool:
        """Whether the two have any time in common."""
        return self.starts_at < other.ends_at and other.starts_at < self.ends_at

    def inside(self, bounds: Self) -> "Span | None":
        """Return the part of it that is inside the bounds, or None if there is none."""
        part = Span(max(self.starts_at, bounds.starts_at), min(self.ends_at, bounds.ends_at))
        return part if part.starts_at < part.ends_at else None


def free_spans(spans: Iterable[Span], busy: Iterable[Span]) -> Iterator[Span]:
    """Return what is left of spans without the times that are busy, in order. The spans must not overlap."""
    occupied = sorted(busy)
    for span in sorted(spans):
        free_from = span.starts_at
        for other in occupied:
            if other.overlaps(span):
                if free_from < other.starts_at:
                    yield Span(free_from, other.starts_at)
                free_from = max(free_from, other.ends_at)
        if free_from < span.ends_at:
            yield Span(free_from, span.ends_at)


def candidates(free: Iterable[Span], duration: timedelta, forecast: Forecast) -> Iterator[Span]:
    """Return the spans of a duration, inside the free ones, over which the forecast reaches.

    They begin where a step of the forecast begins, or at the first quarter of an hour of a free span.
    """
    for span in free:
        starts = {_next_quarter(span.starts_at), *(hour.begins_at for hour in forecast.between(*_bounds(span)))}
        for starts_at in sorted(starts):
            ends_at = starts_at + duration
            if span.starts_at <= starts_at and ends_at <= span.ends_at and forecast.covers(starts_at, ends_at):
                yield Span(starts_at, ends_at)


def _next_quarter(instant: datetime) -> datetime:
    return _EPOCH - (_EPOCH - instant) // _QUARTER * _QUARTER


def _bounds(span: Span) -> tuple[datetime, datetime]:
    return span.starts_at, span.ends_at
