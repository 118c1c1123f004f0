"""Request bodies and responses of invitations."""

from pydantic import BaseModel, ConfigDict

from api.accounts.schemas import Email, InvitationToken
from api.http.fields import Identifier, Input, Instant


class InvitationInput(Input):
    """Whom to invite, and into which group, if any."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"email": "carol@example.com", "group_id": 3}]})

    email: Email
    group_id: Identifier | None = None


class InvitationOut(BaseModel):
    """An open invitation."""

    id: int
    inviter_id: int
    email: str
    group_id: int | None
    created_at: Instant
    expires_at: Instant


class NewInvitation(InvitationOut):
    """A new invitation. `token` is null where it was sent by mail; otherwise hand it over yourself, it is shown once."""

    token: str | None


class Acceptance(Input):
    """The token of an invitation."""

    token: InvitationToken
