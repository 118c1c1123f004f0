"""Invitations: managers and admins invite an address to register, or to join a group.

An invitation is used once: by whoever registers with its address, or by the account that has this address already. The
inviter gets the same response in both cases, and so learns of no account. What an inviter may no longer do when the
invitation is used does not happen.
"""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
from peewee import fn

from core.db import connected, read, unit_of_work
from core.errors import Conflict, Forbidden, NotFound, Rejected
from core.mail_texts import one_line_without_links
from core.messages import msg
from core.models.account import User
from core.models.account_mail import AccountMail
from core.models.base import json_object
from core.models.group import Group
from core.models.invitation import Invitation
from core.names import name_key
from core.policy import Actor, Role, may_invite
from core.representations import Page, Representation, fetch_page, page_statement
from core.security import TokenIssuer
from core.services import account_mails, accounts, audit, groups
from core.services.account_links import INVITATION

_NONCE_BYTES: Final = 16
_MOST_OPEN: Final = 100
# Names in an invitation may be shorter than elsewhere, because its reader has not agreed to get mails.
_NAME_LENGTH: Final = 60

_OPEN = page_statement(
    Invitation,
    where="(%(is_admin)s OR inviter_id = %(user_id)s) AND accepted_at IS NULL AND expires_at > now()",
    order="id DESC",
)

# Whoever has confirmed the address of their account gets the mails to it, so an invitation into a group needs no token
# then. Those are left out that would have no effect: the person is a member, or the inviter may not add one any more.
_IS_RECEIVED: Final = """
group_id IS NOT NULL AND accepted_at IS NULL AND expires_at > now()
AND (email_key, lower(email)) = (SELECT email_key, lower(email) FROM users
                                 WHERE id = %(user_id)s AND email_verified_at IS NOT NULL)
AND NOT EXISTS (SELECT FROM group_members m WHERE m.group_id = invitations.group_id AND m.user_id = %(user_id)s)
AND EXISTS (SELECT FROM users i WHERE i.id = inviter_id AND i.is_active
            AND (i.role = 'admin' OR EXISTS (SELECT FROM group_members m WHERE m.group_id = invitations.group_id
                                             AND m.user_id = i.id AND m.is_manager)))"""

_RECEIVED = page_statement(
    Invitation,
    where=_IS_RECEIVED,
    order="id DESC",
    json=json_object(
        [
            "id",
            "group_id",
            "(SELECT name FROM groups WHERE id = group_id) AS group_name",
            """(SELECT coalesce(nullif(full_name, ''), split_part(username, '@', 1)) FROM users WHERE id = inviter_id)
        AS inviter_name""",
            "created_at",
            "expires_at",
        ]
    ),
)
_RECEIVED_ONE: Final = f"SELECT EXISTS (SELECT FROM invitations WHERE id = %(id)s AND {_IS_RECEIVED})"


@dataclass(frozen=True, slots=True)
class InvitationTerms:
    """How an installation invites: how long an invitation can be used, and whether it is sent by mail.

    If it is not, the inviter gets its token and hands it over.
    """

    days: int
    by_mail: bool


def invite(
    actor: Actor, email: str, group_id: int | None, terms: InvitationTerms, issuer: TokenIssuer
) -> Representation:
    """Invite an address; an earlier invitation of it by the same person ends.

    Raises:
        Forbidden: with code `invitation_forbidden`, if the caller may not invite without a group.
        NotFound, Forbidden: if the caller does not see the group, or does not manage it.
        Conflict: with code `too_many_invitations`, if too many invitations of the caller are open.
    """
    with unit_of_work():
        _require_inviter(actor, group_id)
        # The lock makes the count below exact if the caller sends several requests at the same time.
        inviter = User.select().where(User.id == actor.user_id).for_update().get()
        own = (Invitation.inviter_id == actor.user_id) & _is_open()
        Invitation.delete().where(own & (Invitation.email_key == name_key(email))).execute()
        if Invitation.select().where(own).count() >= _MOST_OPEN:
            raise Conflict(msg("Too many of your invitations are open."), code="too_many_invitations")
        invitation = Invitation.create(
            inviter_id=actor.user_id,
            email=email,
            email_key=name_key(email),
            group_id=group_id,
            nonce=secrets.token_bytes(_NONCE_BYTES),
            is_mailed=terms.by_mail,
            expires_at=datetime.now(UTC) + timedelta(days=terms.days),
        )
        audit.record(audit.INVITED, user_id=actor.user_id, email=email, group_id=group_id)
        token = None if terms.by_mail else issuer.link_token(invitation.id, INVITATION, invitation.nonce)
        if terms.by_mail:
            _queue_mail(inviter, invitation, terms.days)
        return _described(Invitation.get_by_id(invitation.id), token)


def list_open(actor: Actor, skip: int, limit: int) -> Page:
    """Read a page of the open invitations of the caller, or of everybody for an admin, the newest first."""
    return fetch_page(_OPEN, skip, limit, is_admin=actor.is_admin, user_id=actor.user_id)


def list_received(actor: Actor, skip: int, limit: int) -> Page:
    """Read a page of the invitations into groups for the confirmed address of the caller, the newest first."""
    return fetch_page(_RECEIVED, skip, limit, user_id=actor.user_id)


def delete(actor: Actor, invitation_id: int) -> None:
    """Take an open invitation back, if it is the caller's own or the caller is an admin.

    Raises:
        NotFound: with code `invitation_not_found`, if there is no such invitation.
    """
    with unit_of_work():
        wanted = (Invitation.id == invitation_id) & _is_open()
        found: Invitation | None = Invitation.select().where(wanted).for_update().get_or_none()
        if found is None or not (actor.is_admin or found.inviter_id == actor.user_id):
            raise _not_found()
        found.delete_instance()
        audit.record(audit.INVITATION_DELETED, user_id=found.inviter_id, actor_id=actor.user_id, email=found.email)


def register(
    token: str, issuer: TokenIssuer, *, email: str | None, mail_language: str | None, **account: Any
) -> Representation:
    """Create an account with an invitation and return its profile; the other arguments are those of `accounts`.

    If the invitation came by mail to this email, the email is verified by that.

    Raises:
        Forbidden: with code `invitation_invalid`, if the invitation is unknown, used, too old or for another address.
        Rejected: with code `account_taken`; the invitation can then still be used.
    """
    with unit_of_work():
        invitation = _use(_find(token, issuer), email)
        proof = {"is_verified": True} if _proves(invitation, email) else {"mail_language": mail_language}
        user_id = accounts.register(email=email, **proof, **account).id
        _take_effect(invitation, user_id, email)
        return accounts.represent_profile(User.get_by_id(user_id))


def accept(actor: Actor, token: str, issuer: TokenIssuer) -> None:
    """Use an invitation of the caller's own address: the caller joins its group.

    Raises:
        Forbidden: with code `invitation_invalid`, as for `register()`.
    """
    with unit_of_work():
        email = User.get_by_id(actor.user_id).email
        invitation = _use(_find(token, issuer), email)
        _take_effect(invitation, actor.user_id, email)


def accept_received(actor: Actor, invitation_id: int) -> None:
    """Use an invitation that `list_received()` shows to the caller: the caller joins its group.

    Raises:
        NotFound: with code `invitation_not_found`, if the caller has received no such invitation.
        Forbidden: with code `invitation_invalid`, if it was used in the same moment.
    """
    with unit_of_work():
        if not read(_RECEIVED_ONE, {"id": invitation_id, "user_id": actor.user_id}).fetch_value():
            raise _not_found()
        email = User.get_by_id(actor.user_id).email
        _take_effect(_use(Invitation.get_by_id(invitation_id), email), actor.user_id, email)


def address_of(token: str, issuer: TokenIssuer) -> str:
    """Return the address that may use an invitation.

    Raises:
        Forbidden: with code `invitation_invalid`, if the invitation is unknown, used or too old.
    """
    with connected():
        return str(_find(token, issuer).email)


@account_mails.completes(account_mails.INVITATION)
@account_mails.completes(account_mails.GROUP_INVITATION)
def is_mail_of_use(mail: AccountMail) -> bool:
    """Whether the mail of an invitation may be sent: not if its inviter may invite no more, since it waited."""
    return _may_still_invite(Invitation.get_by_id(mail.invitation_id))


def _require_inviter(actor: Actor, group_id: int | None) -> None:
    if group_id is not None:
        groups.require_manager(actor, group_id)
    elif not may_invite(actor):
        raise Forbidden(msg("Only managers and admins may invite."), code="invitation_forbidden")


def _use(invitation: Invitation, email: str | None) -> Invitation:
    """Use an open invitation, in the running unit of work. If that is undone, it can be used again."""
    if email is None or name_key(email) != invitation.email_key:
        raise _invalid()
    if invitation.group_id is not None:
        # The group is locked before the invitation, in the same order as when it is deleted, so that the two cannot
        # deadlock.
        Group.select().where(Group.id == invitation.group_id).for_update().get_or_none()
    this_open_one = (Invitation.id == invitation.id) & _is_open()
    if not Invitation.update(accepted_at=fn.now()).where(this_open_one).execute():
        raise _invalid()
    return invitation


def _find(token: str, issuer: TokenIssuer) -> Invitation:
    """Return the open invitation with this token whose inviter may still invite."""
    try:
        invitation_id, nonce = issuer.read_link_token(token, INVITATION)
    except Rejected:
        raise _invalid() from None
    wanted = (Invitation.id == invitation_id) & (Invitation.nonce == nonce) & _is_open()
    found: Invitation | None = Invitation.select().where(wanted).get_or_none()
    if found is None:
        raise _invalid()
    if not _may_still_invite(found):
        raise _invalid()
    return found


def _may_still_invite(invitation: Invitation) -> bool:
    inviter = User.get_by_id(invitation.inviter_id)
    return inviter.is_active and (invitation.group_id is not None or may_invite(_actor(inviter)))


def _proves(invitation: Invitation, email: str | None) -> bool:
    """Whether the mail of the invitation went to the mailbox of this email.

    Names with the same key may be different mailboxes, such as those with ß and with ss. Case makes no difference.
    """
    return invitation.is_mailed and email is not None and email.lower() == invitation.email.lower()


def _take_effect(invitation: Invitation, user_id: int, email: str | None) -> None:
    """Give the account, which has this email, what the invitation promises."""
    audit.record(audit.INVITATION_ACCEPTED, user_id=user_id, inviter_id=invitation.inviter_id)
    if _proves(invitation, email):
        unverified = (User.id == user_id) & User.email_verified_at.is_null()
        if User.update(email_verified_at=fn.now()).where(unverified).execute():
            audit.record(audit.EMAIL_VERIFIED, user_id=user_id, email=invitation.email)
    if invitation.group_id is not None and not groups.is_member(invitation.group_id, user_id):
        try:
            with unit_of_work():
                inviter = _actor(User.get_by_id(invitation.inviter_id))
                groups.put_member(inviter, invitation.group_id, user_id, is_manager=False)
        except (NotFound, Forbidden):
            # The inviter does not manage the group any more, so the account does not join it.
            pass


def _queue_mail(inviter: User, invitation: Invitation, days: int) -> None:
    name = one_line_without_links(inviter.full_name or inviter.username.partition("@")[0], _NAME_LENGTH)
    details: dict[str, Any] = {"inviter": name, "inviter_id": inviter.id, "days": days}
    kind = account_mails.INVITATION
    if invitation.group_id is not None:
        kind = account_mails.GROUP_INVITATION
        details["group"] = one_line_without_links(Group.get_by_id(invitation.group_id).name, _NAME_LENGTH)
    account_mails.queue(kind, recipient=invitation.email, locale=inviter.locale, invitation_id=invitation.id, **details)


def _described(invitation: Invitation, token: str | None) -> Representation:
    visible = {name: value for name, value in invitation.__data__.items() if name not in Invitation.INTERNAL}
    return Representation(invitation.id, orjson.dumps(visible | {"token": token}).decode())


def _actor(user: User) -> Actor:
    """Return an account as an actor without a session, to check what it may do now."""
    return Actor(user.id, Role(user.role), session_id=0)


def _is_open() -> Any:
    return Invitation.accepted_at.is_null() & (Invitation.expires_at > fn.now())


def _not_found() -> NotFound:
    return NotFound(msg("There is no such invitation."), code="invitation_not_found")


def _invalid() -> Forbidden:
    return Forbidden(
        msg("This invitation is not valid, or no longer, or for another address."), code="invitation_invalid"
    )
