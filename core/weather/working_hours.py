"""Working hours: when in a week somebody works, by the clock of their time zone."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, Self
from zoneinfo import ZoneInfo

from core.weather.spans import Span

_WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_OF_OTHERS: Final = {"days": _WEEKDAYS, "from": "08:00", "to": "20:00"}
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class WorkingHours:
    """The hours of a working day by the clock of a time zone, and the working days such as `mon`."""

    zone: ZoneInfo
    begin: time
    end: time
    days: frozenset[str]

    @classmethod
    def from_json(cls, stored: dict[str, Any] | None, zone: ZoneInfo) -> Self:
        """Make the working hours of a profile; a profile without any means every day from 08:00 to 20:00."""
        hours: dict[str, Any] = stored or _OF_OTHERS
        begin, end = (time.fromisoformat(hours[name]) for name in ("from", "to"))
        return cls(zone, begin, end, frozenset(hours["days"]))

    def within(self, bounds: Span) -> Iterator[Span]:
        """Return the working hours of each day in UTC, as far as they are inside the bounds, in order."""
        for day in self._days(bounds):
            hours = self.of_day(day)
            inside = None if hours is None else hours.inside(bounds)
            if inside is not None:
                yield inside

    def whole_days(self, bounds: Span) -> Iterator[Span]:
        """Return the working hours of each day in UTC, if all of them are inside the bounds, in order."""
        for day in self._days(bounds):
            hours = self.of_day(day)
            if hours is not None and hours.inside(bounds) == hours:
                yield hours

    def of_day(self, day: date) -> Span | None:
        """Return the working hours of a day in UTC, or None if it is no working day."""
        return self.of_any_day(day) if _WEEKDAYS[day.weekday()] in self.days else None

    def of_any_day(self, day: date) -> Span | None:
        """Return what would be the working hours of a day in UTC, also of a day off.

        When the clocks change, a time of the day may not exist, or exist twice. Then the shorter span is returned, so
        that the clock never shows a time outside the working hours; it is None if nothing is left.
        """
        starts_at, ends_at = max(self._instants(day, self.begin)), min(self._instants(day, self.end))
        return Span(starts_at, ends_at) if starts_at < ends_at else None

    def _instants(self, day: date, at: time) -> list[datetime]:
        """Return when the clock shows this time, as understood before and after a change of the clocks on this day."""
        return [datetime.combine(day, at.replace(fold=fold), self.zone).astimezone(UTC) for fold in (0, 1)]

    def _days(self, bounds: Span) -> Iterator[date]:
        day, last = (instant.astimezone(self.zone).date() for instant in (bounds.starts_at, bounds.ends_at))
        while day <= last:
            yield day
            day += _DAY
