"""Queries, bodies and answers of notifications."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from api.http.fields import Input, Instant, PageQuery

Kind = Literal["assigned", "delegated", "commented", "reminder", "overdue"]


class NotificationQuery(PageQuery):
    """Which notifications to list."""

    unread: bool = False


class NotificationDetails(BaseModel):
    """What a notification's text is made of: who did it, what they said, and the task's title and deadline then."""

    title: str
    due_at: Instant | None
    said: str | None
    actor: str | None


class Notification(BaseModel):
    """Something that one is told; `text` says it in the reader's language."""

    id: int
    kind: Kind
    task_id: int
    actor_id: int | None
    details: NotificationDetails
    text: str
    created_at: Instant
    read_at: Instant | None


class NotificationList(BaseModel):
    """A page of notifications, the newest first."""

    items: list[Notification]
    total: int
    skip: int
    limit: int


class UnreadCount(BaseModel):
    """How many notifications have not been read."""

    unread: int


class MailKinds(Input):
    """For each kind of notification, whether it also comes by mail; what is left out stays as it is."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"commented": False}]})

    assigned: bool | None = None
    delegated: bool | None = None
    commented: bool | None = None
    reminder: bool | None = None
    overdue: bool | None = None

    def changes(self) -> dict[str, bool]:
        """The kinds that were named."""
        return {kind: wanted for kind, wanted in self.model_dump().items() if wanted is not None}


class MailPreferences(BaseModel):
    """For each kind of notification, whether it also comes by mail."""

    assigned: bool
    delegated: bool
    commented: bool
    reminder: bool
    overdue: bool


class UnsubscribeQuery(Input):
    """The token of a link in a mail."""

    token: str
