"""Request bodies and responses of invitations."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict

from api.accounts.schemas import Email, InvitationToken, NewPassword
from api.http.fields import FormInput, Identifier, Input, Instant, Verbatim


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
    """A new invitation. `token` is null where it was sent by mail; otherwise it is shown once, to be handed over."""

    token: str | None


class ReceivedInvitation(BaseModel):
    """An open invitation of the caller into a group."""

    id: int
    group_id: int
    group_name: str
    inviter_name: str
    created_at: Instant
    expires_at: Instant


class Acceptance(Input):
    """The token of an invitation."""

    token: InvitationToken


class InvitedRegistration(Input):
    """The token of an invitation, and the password of the new account."""

    invitation: InvitationToken
    password: NewPassword


class InvitedRegistrationForm(FormInput):
    """The same from the page. It takes any text, because the page itself shows what is wrong with it."""

    invitation: str
    password: Annotated[str, Verbatim]
