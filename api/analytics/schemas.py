"""The queries and the responses of the analytics."""

from datetime import date
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, model_validator

from api.accounts.schemas import TimeZone
from api.http.fields import Input, Instant, WrongField
from core.messages import msg

LONGEST_SPAN_DAYS: Final = 366


class _DayQuery(Input):
    start_date: date | None = None
    end_date: date | None = None

    @model_validator(mode="after")
    def _runs_forward(self) -> Self:
        if self.start_date is not None and self.end_date is not None and self.end_date < self.start_date:
            raise WrongField("end_date", msg("is before start_date"))
        return self


class AnalyticsQuery(_DayQuery):
    """The first and the last day on which the counted tasks were created, each optional.

    They are days in the caller's time zone.
    """


class WeatherAnalyticsQuery(_DayQuery):
    """The first and the last day of what is counted, each optional. They are days in the caller's time zone."""


class StatusFigures(BaseModel):
    """How many tasks there are by status."""

    todo: int
    in_progress: int
    done: int


class Analytics(BaseModel):
    """Figures that are exact at `as_of`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "by_status": {"todo": 3, "in_progress": 1, "done": 8},
                    "by_user": {"alice": 12},
                    "as_of": "2026-05-24T12:00:00+00:00",
                }
            ]
        }
    )

    by_status: StatusFigures
    by_user: dict[str, int]
    as_of: Instant


class DaysQuery(Input):
    """The first and the last day, and the time zone whose days are meant: by default that of the caller's profile."""

    start_date: date
    end_date: date
    timezone: TimeZone | None = None

    @model_validator(mode="after")
    def _is_a_short_span(self) -> Self:
        days = (self.end_date - self.start_date).days
        if days < 0:
            raise WrongField("end_date", msg("is before start_date"))
        if days >= LONGEST_SPAN_DAYS:
            raise WrongField("end_date", msg("is more than {days} days after start_date", days=LONGEST_SPAN_DAYS - 1))
        return self


class DayFigures(BaseModel):
    """How many tasks were created and done on a day, and how many missed a deadline of that day and are still open."""

    day: date
    created: int
    done: int
    overdue: int


class AnalyticsByDay(BaseModel):
    """The figures of each day of the span, exact at `as_of`."""

    days: list[DayFigures]
    as_of: Instant


class WeatherCounts(BaseModel):
    """How many tasks were warned, moved to another time for the weather, and done in spite of a warning."""

    warned: int
    moved: int
    done_in_spite: int


class PlaceFigures(WeatherCounts):
    """The same of one place. The place is null for tasks that had none at that time."""

    place_id: int | None
    name: str | None
    country_code: str | None


class WeatherAnalytics(BaseModel):
    """Figures that are exact at `as_of`. The places with the most warned tasks come first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "total": {"warned": 3, "moved": 1, "done_in_spite": 1},
                    "by_place": [
                        {
                            "place_id": 4,
                            "name": "London",
                            "country_code": "GB",
                            "warned": 3,
                            "moved": 1,
                            "done_in_spite": 1,
                        }
                    ],
                    "as_of": "2026-05-24T12:00:00+00:00",
                }
            ]
        }
    )

    total: WeatherCounts
    by_place: list[PlaceFigures]
    as_of: Instant
