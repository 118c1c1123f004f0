"""Request bodies and responses of delegations, comments, reminders and the history of a task."""

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from api.http.fields import Identifier, Input, Instant
from core.messages import msg

_LONGEST_LEAD_SECONDS = 366 * 24 * 3600

Text = Annotated[str, Field(min_length=1, max_length=5000, examples=["The ladder is in the shed."])]


class DelegationInput(Input):
    """The new assignee of a task."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"assignee_id": 2, "note": "You know the roof."}]})

    assignee_id: Identifier
    note: Annotated[str, Field(max_length=1000)] | None = None


class DelegationOut(BaseModel):
    """A delegation: who passed the task on, from whom, and to whom. Null is a deleted account, or no assignee."""

    id: int
    actor_id: int | None
    from_id: int | None
    to_id: int | None
    note: str | None
    created_at: Instant


class CommentInput(Input):
    """The text of a comment."""

    body: Text


class CommentOut(BaseModel):
    """A comment. `user_id` is null if the account of its author was deleted."""

    id: int
    task_id: int
    user_id: int | None
    body: str
    created_at: Instant
    updated_at: Instant


class ReminderInput(Input):
    """When to remind: at a time, or a number of seconds before the deadline."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"seconds_before_due": 3600}]})

    remind_at: Instant | None = None
    seconds_before_due: Annotated[int, Field(ge=0, le=_LONGEST_LEAD_SECONDS)] | None = None

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        if (self.remind_at is None) == (self.seconds_before_due is None):
            raise ValueError(msg("either remind_at or seconds_before_due is needed"))
        return self


class ReminderOut(BaseModel):
    """A reminder. `fires_at` is null while the task has no deadline; `fired_at` is null until the reminder was sent."""

    id: int
    task_id: int
    user_id: int | None
    remind_at: Instant | None
    seconds_before_due: int | None
    fires_at: Instant | None
    fired_at: Instant | None
    created_at: Instant


class ActivityEntry(BaseModel):
    """An entry of a task's history. `changes` has `{"from": …, "to": …}` for each changed field."""

    id: int
    at: Instant
    type: str
    actor_id: int | None
    changes: dict[str, dict[str, Any]]
