"""The query and the response of lists of tasks."""

from typing import Annotated, Any, Literal, Self, get_args
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, Field, field_validator, model_validator

from api.http.bounds import Bound, after, beginning_of_bound, day_of, end_of_bound, instant_of
from api.http.fields import LONGEST_PAGE, AsciiDigits, CursorQuery, Identifier, PageLength, WrongField
from api.tasks.schemas import City, Completed, Priority, Status, TaskOut
from core.messages import msg
from core.services.task_lists import BEST_FIRST, NEWEST_FIRST, SORTABLE, SortKey, TaskQuery
from core.weather import city_key


def _split(value: object) -> object:
    return value.split(",") if isinstance(value, str) else value


class TaskListQuery(CursorQuery):
    """Filters, order and page of a list of tasks. A date, or `today`, means the whole day in the caller's time zone."""

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
    weather_state: Annotated[tuple[Literal["ok", "warned", "unknown"], ...], BeforeValidator(_split)] | None = None
    rain_above: (
        Annotated[
            int,
            Field(ge=0, le=100, description="The probability of rain in the forecast of the task is above this, in %."),
            AsciiDigits,
        ]
        | None
    ) = None
    overdue: Annotated[bool, Field(description="Whether the deadline has passed and the task is not done.")] | None = (
        None
    )
    created_from: Bound | None = None
    created_to: Bound | None = None
    due_from: Bound | None = None
    due_to: Bound | None = None
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
        if self.q is None and any(key.name == "relevance" for key in self._keys()):
            raise WrongField("sort", msg("relevance takes q"))
        if self._statuses() == ():
            raise WrongField("completed", msg("contradicts the status"))
        return self

    def _keys(self) -> tuple[SortKey, ...]:
        given = _sort_keys(self.sort) if self.sort else ()
        return given or (NEWEST_FIRST if self.q is None else BEST_FIRST)

    def _statuses(self) -> tuple[Status, ...] | None:
        """Return the statuses that `status` and `completed` both allow; None means all."""
        if self.completed is None:
            return self.status
        allowed = self.status or get_args(Status)
        return tuple(status for status in allowed if (status == "done") == self.completed)

    def query(self, zone: ZoneInfo) -> TaskQuery:
        """Return the query in the form that the use case takes. `zone` is the caller's time zone."""
        statuses = self._statuses()
        filters: dict[str, Any] = {
            "status": None if statuses is None else list(statuses),
            "priority": None if self.priority is None else list(self.priority),
            "user_id": self.user_id,
            "assignee_id": self.assignee_id,
            "group_id": self.group_id,
            "q": self.q,
            "weather_state": None if self.weather_state is None else list(self.weather_state),
            "rain_above": self.rain_above,
            "overdue": self.overdue or None,
            "not_overdue": self.overdue is False or None,
            "city_key": None if self.city is None else city_key(self.city),
            "created_from": beginning_of_bound(self.created_from, zone),
            "created_before": end_of_bound(self.created_to, zone),
            "due_from": instant_of(self.due_from),
            "due_from_day": day_of(self.due_from, zone),
            "due_before": after(instant_of(self.due_to)),
            "due_to_day": day_of(self.due_to, zone),
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


class TaskList(BaseModel):
    """A page of tasks. `total` counts all pages, and is null with `count=none`; `next_cursor` leads to the next page,
    and is null on the last.
    """

    items: list[TaskOut]
    total: int | None
    skip: int
    limit: int
    next_cursor: str | None
