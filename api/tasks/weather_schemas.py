"""What people say about the weather: the rule of a task, the bounds within which it may be moved, and working hours."""

from typing import Annotated, Any, Literal, Self

import orjson
from pydantic import ConfigDict, Field, model_validator

from api.http.fields import AsciiDigits, Input, Instant, WrongField
from core.messages import msg

_LONGEST_MINUTES = 7 * 24 * 60

DurationMinutes = Annotated[
    int,
    Field(ge=1, le=_LONGEST_MINUTES, description="How long the task takes, until its deadline.", examples=[60]),
    AsciiDigits,
]
TimeOfDay = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$", examples=["08:00"])]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class WeatherRule(Input):
    """The weather that a task bears. What is left out does not matter; a rule without any limit is no rule."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"max_rain_probability": 40, "max_gusts": 50}]})

    max_rain_probability: Annotated[float, Field(ge=0, le=100, description="In %.")] | None = None
    max_rain_mm: (
        Annotated[float, Field(ge=0, le=1000, description="In mm, over the whole span of the task.")] | None
    ) = None
    max_wind: Annotated[float, Field(ge=0, le=500, description="In km/h.")] | None = None
    max_gusts: Annotated[float, Field(ge=0, le=500, description="In km/h.")] | None = None
    min_temperature: Annotated[float, Field(ge=-100, le=100, description="In °C.")] | None = None
    max_temperature: Annotated[float, Field(ge=-100, le=100, description="In °C.")] | None = None

    @model_validator(mode="after")
    def _can_be_satisfied(self) -> Self:
        lowest, highest = self.min_temperature, self.max_temperature
        if lowest is not None and highest is not None and lowest > highest:
            raise WrongField("max_temperature", msg("is below min_temperature"))
        return self


class AutoReschedule(Input):
    """The bounds within which a worker may move a task to better weather."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"not_before": "2026-05-01T00:00:00Z", "not_after": "2026-05-08T00:00:00Z"}]}
    )

    not_before: Instant | None = None
    not_after: Instant

    @model_validator(mode="after")
    def _runs_forward(self) -> Self:
        if self.not_before is not None and self.not_after <= self.not_before:
            raise WrongField("not_after", msg("must be after not_before"))
        return self


class WorkingHours(Input):
    """The days and the hours, by the clock of the profile's time zone, in which someone works."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"days": ["mon", "tue", "wed", "thu", "fri"], "from": "08:00", "to": "18:00"}]}
    )

    days: Annotated[list[Weekday], Field(min_length=1, max_length=7)]
    begin: Annotated[TimeOfDay, Field(alias="from")]
    end: Annotated[TimeOfDay, Field(alias="to")]

    @model_validator(mode="after")
    def _is_a_time(self) -> Self:
        if len(set(self.days)) < len(self.days):
            raise WrongField("days", msg("names a day twice"))
        if self.end <= self.begin:
            raise WrongField("to", msg("must be after from"))
        return self


def stored(value: WeatherRule | AutoReschedule | WorkingHours | None) -> dict[str, Any] | None:
    """Return the JSON that the database keeps, without what was left out; None if nothing is left."""
    if value is None:
        return None
    content: dict[str, Any] = orjson.loads(orjson.dumps(value.model_dump(by_alias=True, exclude_none=True)))
    return content or None
