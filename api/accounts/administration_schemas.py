"""Request bodies, queries and responses of the administration of accounts."""

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from api.accounts.schemas import Password, Profile
from api.feedback.schemas import FeedbackOut
from api.http.fields import Identifier, Input, Instant, PageQuery, refuse_null
from api.tasks.attachment_schemas import AttachmentOut
from core.policy import Role


class AccountQuery(PageQuery):
    """Which accounts to list. `q` is a part of the username, the email or the full name."""

    q: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    role: Role | None = None
    is_active: bool | None = None


class AccountChange(Input):
    """What an admin changes of an account."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"role": "manager"}]})

    role: Role | None = None
    is_active: bool | None = None

    @model_validator(mode="after")
    def _names_values(self) -> Self:
        refuse_null(self, "role", "is_active")
        return self

    def columns(self) -> dict[str, Any]:
        """Return the fields that the request contains."""
        return self.model_dump(exclude_unset=True)


class AccountDeletion(Input):
    """The password once more, so that nobody deletes an account over an open session."""

    current_password: Password


class AuditQuery(PageQuery):
    """Which entries to list. Without `user_id`, the entries of all users are listed."""

    user_id: Identifier | None = None


class AuditEntry(BaseModel):
    """Something that happened to an account."""

    id: int
    at: Instant
    action: str
    actor_id: int | None
    user_id: int | None
    ip_address: str | None
    request_id: str | None
    details: dict[str, Any]


class AccountExport(BaseModel):
    """All that is kept about an account."""

    model_config = ConfigDict(extra="allow")

    profile: Profile
    sessions: list[dict[str, Any]]
    tasks: list[dict[str, Any]]
    groups: list[dict[str, Any]]
    comments: list[dict[str, Any]]
    delegations: list[dict[str, Any]]
    reminders: list[dict[str, Any]]
    notifications: list[dict[str, Any]]
    invitations: list[dict[str, Any]]
    feedback: list[FeedbackOut]
    attachments: list[AttachmentOut]
    audit: list[AuditEntry]
