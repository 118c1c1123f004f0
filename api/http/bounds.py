"""The bounds of filters by time: a point in time, or a whole day in the caller's time zone."""

from datetime import date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from api.http.fields import Day, Instant
from core.days import beginning_of, end_of, today_in

Bound = Instant | Day | Literal["today"]
"""A bound of a filter: a point in time, or a whole day in the caller's time zone."""


def day_of(bound: Bound | None, zone: ZoneInfo) -> date | None:
    """Return the day that a bound names, or None if it is a point in time."""
    if bound == "today":
        return today_in(zone)
    return None if isinstance(bound, datetime) else bound


def instant_of(bound: Bound | None) -> datetime | None:
    """Return the point in time that a bound is, or None if it names a day."""
    return bound if isinstance(bound, datetime) else None


def beginning_of_bound(bound: Bound | None, zone: ZoneInfo) -> datetime | None:
    """Return the first time that a lower bound includes."""
    day = day_of(bound, zone)
    return instant_of(bound) if day is None else beginning_of(day, zone)


def end_of_bound(bound: Bound | None, zone: ZoneInfo) -> datetime | None:
    """Return the first time after an upper bound, which is included."""
    day = day_of(bound, zone)
    return after(instant_of(bound)) if day is None else end_of(day, zone)


def after(bound: datetime | None) -> datetime | None:
    """Return the first time after an inclusive bound. PostgreSQL stores times in microseconds."""
    return None if bound is None else bound + timedelta(microseconds=1)
