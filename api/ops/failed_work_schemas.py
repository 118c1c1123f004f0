"""Queries, request bodies and responses about work that has failed."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from api.http.fields import CursorQuery, Identifier, Input, Instant, refuse_null
from core.messages import msg
from core.services.failed_work import MOST_AT_ONCE, Filter, Kind, State, Work


class FailedWorkQuery(CursorQuery):
    """Which work to list: that of a kind, in a state, or all."""

    kind: Kind | None = None
    state: State | None = None

    def filter(self) -> Filter:
        """Return the filter in the form that the use case takes."""
        return Filter(self.kind, self.state)


class FailedWork(BaseModel):
    """A piece of work that has failed.

    `id` is that of the task for weather, otherwise that of the notification or of the mail. `what` is the city, or the
    kind of the notification or mail. `user_id` is the owner of the task, or the reader of the mail.
    """

    kind: Kind
    id: int
    state: State
    what: str
    task_id: int | None
    user_id: int | None
    recipient: str | None
    reason: str
    attempts: int
    next_attempt_at: Instant | None
    since: Instant


class FailedWorkPage(BaseModel):
    """A page of failed work. `next_cursor` leads to the next page, and is null on the last one."""

    items: list[FailedWork]
    total: int
    skip: int
    limit: int
    next_cursor: str | None


class WorkItem(Input):
    """A piece of work."""

    kind: Kind
    id: Identifier


class WorkMatch(Input):
    """All work of a kind, in a state, or, with neither of them, all work that has failed."""

    kind: Kind | None = None
    state: State | None = None


class WorkChoice(Input):
    """The pieces of work to change: either these, or the oldest that match, up to 200 at a time."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"match": {"kind": "weather", "state": "given_up"}}]})

    items: Annotated[list[WorkItem], Field(min_length=1, max_length=MOST_AT_ONCE)] | None = None
    match: WorkMatch | None = None

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        refuse_null(self, "items", "match")
        if (self.items is None) == (self.match is None):
            raise ValueError(msg("takes either items or match"))
        return self

    def work(self) -> list[Work] | Filter:
        """Return the choice in the form that the use cases take."""
        if self.items is not None:
            return [Work(item.kind, item.id) for item in self.items]
        chosen = self.match or WorkMatch()
        return Filter(chosen.kind, chosen.state)


class ChangedItem(BaseModel):
    """A piece of work that was changed."""

    kind: Kind
    id: int


class WorkOutcome(BaseModel):
    """What was changed. `remaining` counts the work that still matches; it is 0 if `items` were named."""

    changed: int
    items: list[ChangedItem]
    remaining: int
