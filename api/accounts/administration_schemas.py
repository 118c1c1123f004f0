"""Request bodies, queries and responses of the administration of accounts."""

from ipaddress import ip_address
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

from api.accounts.schemas import Password, Profile
from api.feedback.schemas import FeedbackOut
from api.http.bounds import Bound, beginning_of_bound, end_of_bound
from api.http.fields import CursorQuery, Identifier, Input, Instant, PageQuery, refuse_null
from api.tasks.attachment_schemas import AttachmentOut
from core.messages import msg
from core.policy import Role
from core.services import audit
from core.services.audit import AuditFilter


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


def _known_action(value: str) -> str:
    if value not in audit.ACTIONS:
        raise ValueError(msg("is not an action of the audit log"))
    return value


def _ip_address(value: str) -> str:
    """Return an address in the form in which it is stored."""
    try:
        return str(ip_address(value))
    except ValueError:
        raise ValueError(msg("must be an IP address")) from None


class AuditQuery(CursorQuery):
    """Which entries to list. A date, or `today`, means the whole day in the caller's time zone."""

    action: (
        Annotated[str, AfterValidator(_known_action), WithJsonSchema({"type": "string", "enum": list(audit.ACTIONS)})]
        | None
    ) = None
    actor_id: Annotated[Identifier, Field(description="Who did it.")] | None = None
    user_id: Annotated[Identifier, Field(description="The account to which it was done.")] | None = None
    ip_address: Annotated[str, AfterValidator(_ip_address), Field(examples=["203.0.113.7"])] | None = None
    at_from: Bound | None = None
    at_to: Bound | None = None

    def filter(self, zone: ZoneInfo) -> AuditFilter:
        """Return the filter in the form that the use case takes. `zone` is the caller's time zone."""
        return AuditFilter(
            action=self.action,
            actor_id=self.actor_id,
            user_id=self.user_id,
            ip_address=self.ip_address,
            since=beginning_of_bound(self.at_from, zone),
            before=end_of_bound(self.at_to, zone),
        )


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


class AuditPage(BaseModel):
    """A page of the audit log. `next_cursor` leads to the next page, and is null on the last one."""

    items: list[AuditEntry]
    total: int
    skip: int
    limit: int
    next_cursor: str | None


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
