"""Queries, request bodies and responses of notifications.

The kinds of notifications are declared in `core.services.notifications`. The models for mail have one field per kind.
"""

from datetime import date
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, WithJsonSchema, create_model

from api.http.fields import Input, Instant, PageQuery
from core.services.notifications import KINDS

Kind = Annotated[str, WithJsonSchema({"type": "string", "enum": list(KINDS)})]

_OPTIONAL: dict[str, Any] = dict.fromkeys(KINDS, (bool | None, None))
_REQUIRED: dict[str, Any] = dict.fromkeys(KINDS, (bool, ...))
_ChangedKinds = create_model("_ChangedKinds", __base__=Input, **_OPTIONAL)
_AllKinds = create_model("_AllKinds", **_REQUIRED)


class NotificationQuery(PageQuery):
    """Which notifications to list."""

    unread: bool = False


class WeatherReason(BaseModel):
    """What was expected in comparison with one limit of a weather rule: °C, mm, % or km/h. `at` is the worst time."""

    limit: str
    allowed: float
    expected: float
    at: Instant


class ExpectedWeather(BaseModel):
    """The weather that a notification is about. Its text has the times in the time zone."""

    reasons: list[WeatherReason]
    timezone: str


class NotificationDetails(BaseModel):
    """The data of a notification's text: who did it, the comment, the task's title and deadline at that time, and the
    weather that was expected.

    All are null if the reader may not read the task any more.
    """

    title: str | None
    due_at: Instant | None
    due_on: date | None = None
    said: str | None
    actor: str | None
    weather: ExpectedWeather | None = None


class Notification(BaseModel):
    """A notification. `text` is in the language of the reader."""

    id: int
    kind: Kind
    task_id: int
    actor_id: int | None
    details: NotificationDetails
    text: str
    created_at: Instant
    read_at: Instant | None


class UnreadCount(BaseModel):
    """How many notifications have not been read."""

    unread: int


class MailKinds(_ChangedKinds):
    """For each kind of notification, whether it is also sent by mail. Kinds that are left out keep their values."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"commented": False}]})

    def changes(self) -> dict[str, bool]:
        """Return the kinds that the request contains."""
        return {kind: wanted for kind, wanted in self.model_dump().items() if wanted is not None}


class MailPreferences(_AllKinds):
    """For each kind of notification, whether it is also sent by mail."""


class UnsubscribeQuery(Input):
    """The token of a link in a mail."""

    token: str
