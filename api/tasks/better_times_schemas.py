"""Better times of a task, and the choice of one."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from api.http.fields import AsciiDigits, Input, Instant, WrongField
from api.tasks.weather_schemas import WeatherRule
from core.messages import msg

_MOST = 20


class BetterTimesQuery(Input):
    """Between which times to search, and how many to return."""

    start: Annotated[Instant | None, Field(alias="from", description="Not before this time; by default now.")] = None
    end: Annotated[
        Instant | None, Field(alias="to", description="Not after this time; by default the end of the forecast.")
    ] = None
    limit: Annotated[
        int, Field(ge=1, le=_MOST, description="The largest number of items in the response."), AsciiDigits
    ] = 5

    @model_validator(mode="after")
    def _runs_forward(self) -> Self:
        if self.start is not None and self.end is not None and self.end <= self.start:
            raise WrongField("to", msg("must be after from"))
        return self


class BetterTime(BaseModel):
    """A span in which the task could be done, and the weather of it: °C, %, mm, km/h. `due_at` is its deadline then."""

    starts_at: Instant
    ends_at: Instant
    due_at: Instant
    reason: Annotated[str, Field(description="The weather in words, in the language of the response.")]
    temperature: Annotated[float | None, Field(description="The mean of the span.")]
    rain_probability: Annotated[float | None, Field(description="The highest of the span.")]
    rain: Annotated[float | None, Field(description="Of the whole span.")]
    wind: Annotated[float | None, Field(description="The highest of the span.")]
    gusts: Annotated[float | None, Field(description="The highest of the span.")]


class BetterTimesOut(BaseModel):
    """Better times, the best first.

    `status` says why there can be none: the task has no place, or the forecast of its place was not fetched yet.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "status": "ready",
                    "items": [
                        {
                            "starts_at": "2026-05-02T09:00:00+00:00",
                            "ends_at": "2026-05-02T10:00:00+00:00",
                            "due_at": "2026-05-02T10:00:00+00:00",
                            "reason": "dry, 14 °C, 12 km/h",
                            "temperature": 14.2,
                            "rain_probability": 5,
                            "rain": 0,
                            "wind": 12.3,
                            "gusts": 25.6,
                        }
                    ],
                    "rule": {"max_rain_probability": 40},
                    "provider": "open-meteo",
                    "attribution": "Weather data by Open-Meteo.com (CC BY 4.0)",
                    "fetched_at": "2026-05-01T09:00:01+00:00",
                }
            ]
        }
    )

    status: Literal["ready", "no_place", "no_forecast"]
    items: list[BetterTime]
    rule: Annotated[
        WeatherRule | None, Field(description="The rule that they satisfy: the task's, or else that of its owner.")
    ]
    provider: str | None
    attribution: Annotated[str | None, Field(description="What is to be shown beside the weather.")]
    fetched_at: Instant | None


class RescheduleInput(Input):
    """The span to take: when it begins, or when it ends."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"starts_at": "2026-05-02T09:00:00Z"}]})

    starts_at: Instant | None = None
    due_at: Instant | None = None

    @model_validator(mode="after")
    def _names_one_span(self) -> Self:
        if (self.starts_at is None) == (self.due_at is None):
            raise WrongField("starts_at", msg("must be given, or due_at, but not both"))
        return self
