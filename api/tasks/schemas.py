"""Request bodies, queries and responses of tasks."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticKnownError

from api.http.fields import (
    LONGEST_PAGE,
    Day,
    Identifier,
    Input,
    Instant,
    PageLength,
    PageQuery,
    WrongField,
    refuse_null,
)
from core.messages import msg
from core.models.task import LONGEST_CITY_KEY
from core.services.task_lists import BEST_FIRST, NEWEST_FIRST, SORTABLE, SortKey, TaskQuery
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


class TaskFields(Input):
    """The fields of a task that users may write and that may be null."""

    description: Description | None = None
    due_at: Instant | None = None
    city: City | None = None
    assignee_id: Identifier | None = None
    group_id: Identifier | None = None


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
        return values | ({"status": "done"} if self.completed else {})


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
        return self.model_dump(exclude_unset=True, exclude=None if self.status is None else {"completed"})


class TaskReplacement(TaskPatch):
    """The body of a PUT. As in a merge patch, what is left out stays; only the title is required.

    Some earlier clients have no PATCH, and know only a few of the fields. They must not clear the others.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"title": "Clean the gutters", "completed": True}]})

    title: Title


def _require_agreement(status: Status, *, completed: bool) -> None:
    if completed != (status == "done"):
        raise WrongField("completed", msg("contradicts the status"))


def _split(value: object) -> object:
    return value.split(",") if isinstance(value, str) else value


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)


class TaskListQuery(PageQuery):
    """Filters, order and page of a list of tasks. A date means the whole day in UTC."""

    status: Annotated[tuple[Status, ...], BeforeValidator(_split)] | None = None
    completed: Completed | None = None
    priority: Annotated[tuple[Priority, ...], BeforeValidator(_split)] | None = None
    user_id: Identifier | None = None
    assignee_id: Identifier | None = None
    group_id: Identifier | None = None
    city: City | None = None
    q: (
        Annotated[
            str,
            Field(
                min_length=1,
                max_length=200,
                description="Words of the title or the description, from their beginning; quotes, OR and - work.",
                examples=["gutters -roof"],
            ),
        ]
        | None
    ) = None
    overdue: Annotated[bool, Field(description="Whether the deadline has passed and the task is not done.")] | None = (
        None
    )
    created_from: Instant | Day | None = None
    created_to: Instant | Day | None = None
    due_from: Instant | Day | None = None
    due_to: Instant | Day | None = None
    sort: (
        Annotated[
            str,
            Field(
                description=f"Columns, separated by commas, `-` before one for descending: {', '.join(SORTABLE)}. "
                "The newest first by default, and the most relevant with `q`; `relevance` takes `q`.",
                examples=["-created_at,title"],
            ),
        ]
        | None
    ) = None
    cursor: (
        Annotated[
            str,
            Field(max_length=2000, description="The `next_cursor` of the page before; filters and order stay."),
        ]
        | None
    ) = None
    count: Annotated[
        Literal["exact", "none"],
        Field(description="Whether to count the tasks of all pages; with `none` there is no total."),
    ] = "exact"

    @field_validator("sort")
    @classmethod
    def _sorts_by_columns(cls, value: str) -> str:
        _sort_keys(value)
        return value

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.cursor is not None and self.skip:
            raise ValueError(msg("skip and cursor exclude each other"))
        if self.q is None and any(key.name == "relevance" for key in self._keys()):
            raise WrongField("sort", msg("relevance takes q"))
        if self._statuses() == ():
            raise WrongField("completed", msg("contradicts the status"))
        return self

    def _keys(self) -> tuple[SortKey, ...]:
        return _sort_keys(self.sort or "") or (NEWEST_FIRST if self.q is None else BEST_FIRST)

    def _statuses(self) -> tuple[Status, ...] | None:
        """Return the statuses that `status` and `completed` both allow; None means all."""
        if self.completed is None:
            return self.status
        allowed = self.status or get_args(Status)
        return tuple(status for status in allowed if (status == "done") == self.completed)

    def query(self) -> TaskQuery:
        """Return the query in the form that the use case takes."""
        statuses = self._statuses()
        filters: dict[str, Any] = {
            "status": None if statuses is None else list(statuses),
            "priority": None if self.priority is None else list(self.priority),
            "user_id": self.user_id,
            "assignee_id": self.assignee_id,
            "group_id": self.group_id,
            "q": self.q,
            "overdue": self.overdue or None,
            "not_overdue": self.overdue is False or None,
            "city_key": None if self.city is None else city_key(self.city),
            "created_from": _beginning(self.created_from),
            "created_before": _end(self.created_to),
            "due_from": _beginning(self.due_from),
            "due_before": _end(self.due_to),
        }
        given = {name: value for name, value in filters.items() if value is not None}
        return TaskQuery(given, self._keys(), self.skip, self.limit, self.cursor, self.count == "exact")


class TaskArrayQuery(TaskListQuery):
    """The same for the bare array of tasks, which has more tasks by default."""

    limit: PageLength = LONGEST_PAGE


def _sort_keys(text: str) -> tuple[SortKey, ...]:
    keys = tuple(SortKey(part.removeprefix("-"), descending=part.startswith("-")) for part in text.split(",") if part)
    names = [key.name for key in keys]
    if not set(names) <= set(SORTABLE):
        raise ValueError(msg("can only name {columns}", columns=", ".join(SORTABLE)))
    if len(set(names)) < len(names):
        raise ValueError(msg("names a column twice"))
    return keys


def _beginning(value: datetime | date | None) -> datetime | None:
    return value if value is None or isinstance(value, datetime) else _midnight(value)


def _end(value: datetime | date | None) -> datetime | None:
    """Return the first time after an inclusive bound. PostgreSQL stores times in microseconds."""
    if value is None:
        return None
    if isinstance(value, datetime):
        return value + timedelta(microseconds=1)
    return _midnight(value) + timedelta(days=1)


class Weather(BaseModel):
    """The weather at a task's city when it was fetched: °C, %, m/s."""

    model_config = ConfigDict(extra="allow")

    temperature: float
    condition: str
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
                    "city": "London",
                    "weather": {
                        "temperature": 11.4,
                        "condition": "light rain",
                        "provider": "open-meteo",
                        "fetched_at": "2026-05-01T09:00:01+00:00",
                    },
                    "weather_status": "ready",
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
    city: str | None
    weather: Weather | None
    weather_status: Literal["pending", "ready", "unavailable"] | None
    user_id: int
    assignee_id: int | None
    group_id: int | None
    completed: bool
    completed_at: Instant | None
    created_at: Instant
    updated_at: Instant
    version: int


class TaskList(BaseModel):
    """A page of tasks. `total` counts all pages, and is null with `count=none`; `next_cursor` leads to the next page,
    and is null on the last.
    """

    items: list[TaskOut]
    total: int | None
    skip: int
    limit: int
    next_cursor: str | None
