"""Invitations to register, or to join a group."""

from typing import Final

from api.accounts.invitation_schemas import (
    Acceptance,
    InvitationInput,
    InvitationOut,
    NewInvitation,
    ReceivedInvitation,
)
from api.accounts.registration import registration_closed
from api.http.fields import ListOf, PageQuery
from api.http.operation import operation
from api.http.resource import Resource
from api.http.routing import versioned
from core.policy import Actor
from core.representations import Page, Representation
from core.services import invitations
from core.services.invitations import InvitationTerms


class InvitationCollection(Resource):
    """The open invitations of the caller, or of everybody for an admin."""

    @operation(201, NewInvitation, tag="accounts", weight=5, errors=(403, 404, 409))
    async def on_post(self, actor: Actor, body: InvitationInput) -> Representation:
        """Invite somebody.

        Managers and admins invite people to register; the managers of a group invite people into it, also people who
        have an account. The invitation is sent by mail, where mail is set up; otherwise the response shows its token.
        """
        if self.settings.registration == "closed":
            raise registration_closed()
        terms = InvitationTerms(self.settings.invitation_days, by_mail=self.settings.has_mail_server)
        return await self.bridge.run(invitations.invite, actor, body.email, body.group_id, terms, self.issuer)

    @operation(200, ListOf[InvitationOut], tag="accounts", headers=("X-Total-Count",))
    async def on_get(self, actor: Actor, query: PageQuery) -> Page:
        """List open invitations.

        One's own; all for an admin. The newest come first.
        """
        return await self.bridge.run(invitations.list_open, actor, query.skip, query.limit)


class InvitationItem(Resource):
    """One open invitation."""

    @operation(204, tag="accounts", errors=(404,))
    async def on_delete(self, actor: Actor, invitation_id: int) -> None:
        """Take an invitation back."""
        await self.bridge.run(invitations.delete, actor, invitation_id)


class ReceivedInvitations(Resource):
    """The invitations of the caller into groups, where the caller has confirmed the invited address."""

    @operation(200, ListOf[ReceivedInvitation], tag="accounts", headers=("X-Total-Count",))
    async def on_get(self, actor: Actor, query: PageQuery) -> Page:
        """List the invitations that one has received.

        Those into groups, for the email of one's account, if it is confirmed. The newest come first.
        """
        return await self.bridge.run(invitations.list_received, actor, query.skip, query.limit)

    @operation(204, tag="accounts", errors=(403, 404))
    async def on_post_accept(self, actor: Actor, invitation_id: int) -> None:
        """Accept an invitation that one has received.

        The caller joins the group. No token is needed, because the caller has confirmed the invited address.
        """
        await self.bridge.run(invitations.accept_received, actor, invitation_id)


class InvitationAcceptance(Resource):
    """The use of an invitation by somebody who has an account."""

    @operation(204, tag="accounts", errors=(403,))
    async def on_post(self, actor: Actor, body: Acceptance) -> None:
        """Accept an invitation.

        For those who have an account with the invited address already. Others register with the invitation.
        """
        await self.bridge.run(invitations.accept, actor, body.token, self.issuer)


ROUTES: Final = [
    *versioned("/invitations", InvitationCollection),
    *versioned("/invitations/accept", InvitationAcceptance),
    *versioned("/invitations/received", ReceivedInvitations),
    *versioned("/invitations/received/{invitation_id:id}/accept", ReceivedInvitations, "accept"),
    *versioned("/invitations/{invitation_id:id}", InvitationItem),
]
