"""Request bodies, queries and responses with the field names of an earlier API."""

import re
from datetime import datetime
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from api.accounts.schemas import Email, FullName, InvitationToken, NewPassword
from api.http.fields import Input, Instant, refuse_null
from api.tasks.schemas import Description, TaskOut, Title

_WITHOUT_ZONE: Final = re.compile(r"(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d)(:\d\d(?:\.\d+)?)?)?", re.ASCII)
_COLUMNS: Final = {"title": "title", "description": "description", "due_date": "due_at"}


def _as_utc(value: object) -> object:
    """Add the zone UTC to a time without a zone, and midnight UTC to a date. Return other values unchanged."""
    found = _WITHOUT_ZONE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return value
    day, minute, seconds = found.groups()
    return f"{day}T{minute or '00:00'}{seconds or ':00'}Z"


DueDate = Annotated[
    Instant,
    BeforeValidator(_as_utc),
    WithJsonSchema(
        {
            "type": "string",
            "description": "A time or a day, in UTC where it names no zone.",
            "examples": ["2026-05-01T09:00:00", "2026-05-01"],
        }
    ),
]
CreationDate = Annotated[Any, Field(description="Taken and not used: the server's clock counts.")]


class EarlierRegistration(Input):
    """A new account, whose username is its email."""

    name: FullName
    email: Email
    password: NewPassword
    invitation: InvitationToken | None = None


class EarlierUserOut(BaseModel):
    """An account. Its name is the full name, or the username if there is no full name."""

    id: int
    name: str
    email: str | None

    @classmethod
    def renamed(cls, profile: dict[str, Any]) -> Self:
        """Return a profile with the field names of the earlier API."""
        return cls(id=profile["id"], name=profile["full_name"] or profile["username"], email=profile["email"])


class EarlierTaskInput(Input):
    """A new task."""

    title: Title
    description: Description | None = None
    due_date: DueDate | None = None
    creation_date: CreationDate = None
    completed: bool = False

    def columns(self) -> dict[str, Any]:
        """Return the fields that the request contains, with their current names."""
        return _columns(self) | ({"status": "done"} if self.completed else {})


class EarlierTaskChange(Input):
    """The fields of a task to change. Fields that are left out keep their values."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"title": "Clean the gutters", "completed": True}]})

    title: Title | None = None
    description: Description | None = None
    due_date: DueDate | None = None
    completed: bool | None = None
    creation_date: CreationDate = None

    @model_validator(mode="after")
    def _keeps_what_must_be(self) -> Self:
        refuse_null(self, "title", "completed")
        return self

    def columns(self) -> dict[str, Any]:
        """Return the fields that the request contains, with their current names."""
        return _columns(self) | ({} if self.completed is None else {"completed": self.completed})


class EarlierTaskOut(TaskOut):
    """A task, which also has two of its times under the names that earlier task managers used."""

    # The inherited example lacks these two fields.
    model_config = ConfigDict(json_schema_extra=None)

    due_date: Instant | None
    creation_date: Instant


def _columns(body: EarlierTaskInput | EarlierTaskChange) -> dict[str, datetime | str | None]:
    return {_COLUMNS[name]: getattr(body, name) for name in body.model_fields_set & _COLUMNS.keys()}
