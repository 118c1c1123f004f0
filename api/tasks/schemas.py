"""Request bodies, queries and responses of tasks."""

from datetime import date
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticKnownError

from api.http.fields import (
    Day,
    Identifier,
    Input,
    Instant,
    WrongField,
    refuse_null,
)
from api.tasks.weather_schemas import AutoReschedule, DurationMinutes, WeatherRule, stored
from core.messages import msg
from core.models.task import LONGEST_CITY_KEY
from core.weather import city_key

Status = Literal["todo", "in_progress", "done"]
Priority = Literal["low", "medium", "high", "urgent"]
Title = Annotated[str, Field(min_length=1, max_length=255, examples=["Clean the gutters"])]
Description = Annotated[str, Field(max_length=5000, examples=["Before the rain comes."])]
Completed = Annotated[bool, Field(description="Whether the status is `done`; may stand for the status.")]


def _require_short_key(city: str) -> str:
    """Refuse a city whose key is too long to be stored. One character may become 18 in the normal form of the key."""
    if len(city_key(city)) > LONGEST_CITY_KEY:
        raise PydanticKnownError("string_too_long", {"max_length": 120})
    return city


City = Annotated[str, Field(min_length=1, max_length=120, examples=["London"]), AfterValidator(_require_short_key)]


Latitude = Annotated[float, Field(ge=-90, le=90, description="In degrees north.", examples=[51.51])]
Longitude = Annotated[float, Field(ge=-180, le=180, description="In degrees east.", examples=[-0.13])]


class TaskFields(Input):
    """The fields of a task that users may write and that may be null.

    A `city`, a `place_id`, or `latitude` with `longitude` says where the weather of the task is.
    """

    description: Description | None = None
    due_at: Instant | None = None
    due_on: (
        Annotated[
            Day, Field(description="The day of the deadline, if it has no time. It ends in the owner's time zone.")
        ]
        | None
    ) = None
    city: City | None = None
    place_id: Annotated[Identifier | None, Field(description="A place that `GET /places` has found.")] = None
    latitude: Latitude | None = None
    longitude: Longitude | None = None
    assignee_id: Identifier | None = None
    group_id: Identifier | None = None
    duration_minutes: DurationMinutes | None = None
    weather_rule: WeatherRule | None = None
    auto_reschedule: AutoReschedule | None = None

    def _objects(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return those of the values that are objects, in the form in which the database keeps them."""
        objects = {"weather_rule": self.weather_rule, "auto_reschedule": self.auto_reschedule}
        return {name: stored(value) for name, value in objects.items() if name in values}

    @model_validator(mode="after")
    def _names_one_place(self) -> Self:
        """Refuse half a point, and a second place; the later of two contradicting fields is at fault."""
        for missing, other in (("latitude", self.longitude), ("longitude", self.latitude)):
            if getattr(self, missing) is None and other is not None:
                raise WrongField(missing, msg("is needed with the other coordinate"))
        named = [name for name in ("city", "place_id", "latitude") if getattr(self, name) is not None]
        if len(named) > 1:
            raise WrongField(named[1], msg("contradicts the field {other}", other=named[0]))
        return self


class TaskInput(TaskFields):
    """The fields of a new task that its people write."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"title": "Clean the gutters", "city": "London", "priority": "high"}]}
    )

    title: Title
    status: Status = "todo"
    priority: Priority = "medium"
    completed: Completed = False

    @model_validator(mode="after")
    def _means_one_status(self) -> Self:
        if {"status", "completed"} <= self.model_fields_set:
            _require_agreement(self.status, completed=self.completed)
        return self

    def values(self) -> dict[str, Any]:
        """Return all writable fields, with the status that `completed` means."""
        values = self.model_dump(include=TaskInput.model_fields.keys() - {"completed"})
        return values | self._objects(values) | ({"status": "done"} if self.completed else {})


class TaskPatch(TaskFields):
    """A JSON merge patch: the fields in it are changed, and null clears a field."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "done"}]})

    title: Title | None = None
    status: Status | None = None
    priority: Priority | None = None
    completed: Completed | None = None

    @model_validator(mode="after")
    def _keeps_what_must_be(self) -> Self:
        refuse_null(self, "title", "status", "priority", "completed")
        if self.status is not None and self.completed is not None:
            _require_agreement(self.status, completed=self.completed)
        return self

    def values(self) -> dict[str, Any]:
        """Return the fields that the patch contains, without a `completed` that a status beside it implies."""
        values = self.model_dump(exclude_unset=True, exclude=None if self.status is None else {"completed"})
        return values | self._objects(values)


class TaskReplacement(TaskPatch):
    """The body of a PUT. As in a merge patch, what is left out stays; only the title is required.

    Some earlier clients have no PATCH, and know only a few of the fields. They must not clear the others.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"title": "Clean the gutters", "completed": True}]})

    title: Title


def _require_agreement(status: Status, *, completed: bool) -> None:
    if completed != (status == "done"):
        raise WrongField("completed", msg("contradicts the status"))


class Weather(BaseModel):
    """The weather at a task's city when it was fetched: °C, %, m/s."""

    model_config = ConfigDict(extra="allow")

    temperature: float
    condition: str
    provider: str
    fetched_at: Instant


class PlaceOut(BaseModel):
    """A place that has weather. A point that was given by its coordinates has no name."""

    id: int
    name: str | None
    region: str | None
    country: str | None
    country_code: str | None
    latitude: float
    longitude: float
    timezone: str | None
    population: int | None


class ForecastOut(BaseModel):
    """The forecast of the hour of a task's deadline, or of the hour before midday of its `due_on`: °C, %, mm, km/h.

    Without a forecast of that hour the values are null: `horizon` is `beyond` if the deadline is still too far away,
    and `past` if it has passed.
    """

    horizon: Literal["within", "beyond", "past"]
    at: Annotated[Instant | None, Field(description="The beginning of the hour, or of the step of several hours.")]
    temperature: float | None
    feels_like: float | None
    condition: str | None
    rain_probability: float | None
    rain: float | None
    wind: float | None
    gusts: float | None
    provider: str
    fetched_at: Instant


class TaskOut(BaseModel):
    """A task."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": 7,
                    "title": "Clean the gutters",
                    "description": None,
                    "status": "todo",
                    "priority": "high",
                    "due_at": None,
                    "due_on": None,
                    "duration_minutes": None,
                    "city": "London",
                    "place_id": None,
                    "weather": {
                        "temperature": 11.4,
                        "condition": "light rain",
                        "provider": "open-meteo",
                        "fetched_at": "2026-05-01T09:00:01+00:00",
                    },
                    "weather_status": "ready",
                    "place": None,
                    "forecast": None,
                    "weather_rule": None,
                    "weather_state": None,
                    "auto_reschedule": None,
                    "user_id": 1,
                    "assignee_id": None,
                    "group_id": None,
                    "completed": False,
                    "completed_at": None,
                    "created_at": "2026-05-01T09:00:00+00:00",
                    "updated_at": "2026-05-01T09:00:01+00:00",
                    "version": 2,
                }
            ]
        }
    )

    id: int
    title: str
    description: str | None
    status: Status
    priority: Priority
    due_at: Instant | None
    due_on: date | None
    duration_minutes: int | None
    city: str | None
    place_id: int | None
    weather: Weather | None
    weather_status: Literal["pending", "ready", "unavailable"] | None
    place: PlaceOut | None
    forecast: ForecastOut | None
    weather_rule: WeatherRule | None
    weather_state: Annotated[
        Literal["ok", "warned", "unknown"] | None, Field(description="Whether the forecast satisfies the rule.")
    ]
    auto_reschedule: AutoReschedule | None
    user_id: int
    assignee_id: int | None
    group_id: int | None
    completed: bool
    completed_at: Instant | None
    created_at: Instant
    updated_at: Instant
    version: int
