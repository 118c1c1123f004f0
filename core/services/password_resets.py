"""Forgotten passwords: a link by mail, with which the owner of the address chooses a new password.

A request only stores the address that was typed, in the same way for every address. A worker looks for the account
later, so neither the response nor its duration shows whether there is one. Only a proved address gets a link, because
anybody can register with the address of another person. An admin may send a link to an address that was not proved, and
the operator may print one.

The new password is hashed outside the transaction and after the link was checked, so nobody without a link can use up
the threads for passwords.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from peewee import fn

from core.db import connected, unit_of_work
from core.errors import Conflict, NotFound
from core.log_context import bound_to_log, log_context
from core.messages import msg
from core.models.account import User
from core.models.account_mail import AccountLink, AccountMail
from core.policy import Actor
from core.security import TokenIssuer, link_invalid
from core.services import account_links, account_mails, audit, email_addresses, login_throttle
from core.services.account_links import RESET_PASSWORD, Link
from core.services.sessions import revoke_sessions

log = structlog.get_logger()

LIFETIME: Final = timedelta(minutes=30)
_LINKS_PER_HOUR: Final = 3
# The address of a link that was printed instead of mailed. Such a link proves no address.
_NO_ADDRESS: Final = ""


@dataclass(frozen=True, slots=True)
class LinkOwner:
    """The account that a link belongs to, with its names."""

    user_id: int
    username: str
    email: str | None
    full_name: str | None

    @property
    def names(self) -> tuple[str | None, ...]:
        """The names, which its password may not contain."""
        return self.username, self.email, self.full_name


def request_link(email: str, locale: str) -> None:
    """Store that somebody has forgotten the password of the account with this email, if there is one.

    The worker that sends the mail calls `find_account()`.
    """
    origin = {name: log_context().get(name) for name in ("address", "request_id")}
    with unit_of_work():
        account_mails.queue(account_mails.PASSWORD_RESET, recipient=email, locale=locale, origin=origin)


@account_mails.completes(account_mails.PASSWORD_RESET)
def find_account(mail: AccountMail) -> bool:
    """Make the link of a mail that was requested for an address; returns whether the mail may be sent.

    The mail goes to the address of the account, not to the one that was typed: they may differ in ways in which two
    mailboxes differ too. A request for an address that belongs to nobody is deleted.
    """
    with unit_of_work():
        found = User.named(mail.recipient)
        if found is None:
            mail.delete_instance()
            return False
        user: User = User.select().where(User.id == found.id).for_update().get()
        email, refusal = user.email, _refusal(user)
        with bound_to_log(**mail.details["origin"]):
            audit.record(audit.PASSWORD_RESET_REQUESTED, user_id=user.id, refused=refusal)
        if email is None or refusal is not None:
            mail.delete_instance()
            log.info("password_reset_refused", user_id=user.id, reason=refusal)
            return False
        mail.user_id, mail.recipient, mail.locale = user.id, email, user.locale
        mail.link_id = account_links.begin(user.id, RESET_PASSWORD, email, LIFETIME)
        mail.save(only=[AccountMail.user_id, AccountMail.recipient, AccountMail.locale, AccountMail.link_id])
    return True


def send_link(admin: Actor, user_id: int) -> None:
    """Send a link to the address of an account, whether it was proved or not, because an admin vouches for it.

    Raises:
        NotFound: if there is no such account.
        Conflict: with code `email_missing` or `account_disabled`, if the account has no address or is disabled.
    """
    with unit_of_work():
        user: User | None = User.select().where(User.id == user_id).for_update().get_or_none()
        if user is None:
            raise NotFound(msg("There is no such account."), code="account_not_found")
        if not user.is_active:
            raise Conflict(msg("This account is disabled."), code="account_disabled")
        if user.email is None:
            raise Conflict(msg("This account has no email address."), code="email_missing")
        link_id = account_links.begin(user.id, RESET_PASSWORD, user.email, LIFETIME)
        account_mails.queue(
            account_mails.PASSWORD_RESET, recipient=user.email, locale=user.locale, user_id=user.id, link_id=link_id
        )
        audit.record(audit.PASSWORD_RESET_REQUESTED, user_id=user.id, actor_id=admin.user_id)


def make_token(identifier: str, issuer: TokenIssuer) -> str | None:
    """Make the token of a link for the account with this email or username; None if there is no such active account."""
    with unit_of_work():
        user = User.named(identifier)
        if user is None or not user.is_active:
            return None
        link_id = account_links.begin(user.id, RESET_PASSWORD, _NO_ADDRESS, LIFETIME)
        audit.record(audit.PASSWORD_RESET_REQUESTED, user_id=user.id, by="operator")
        link: AccountLink = AccountLink.get_by_id(link_id)
        return issuer.link_token(link.id, RESET_PASSWORD, bytes(link.nonce))


def check_token(token: str, issuer: TokenIssuer) -> LinkOwner:
    """Return the account whose password the link with this token may replace. The link is not used up.

    Raises:
        Rejected: with code `link_invalid`, if the link is unknown, used or too old.
    """
    with connected():
        link = account_links.find(token, RESET_PASSWORD, issuer)
        user = _owner_of(link)
    return LinkOwner(user.id, user.username, user.email, user.full_name)


def reset_password(token: str, password_hash: str, address: str, issuer: TokenIssuer) -> list[int]:
    """Replace the password of the account that the link belongs to; returns the ids of the sessions that were ended.

    All sessions and personal access tokens end, because somebody else may have them. A change of the email that has
    begun ends too: otherwise somebody else could complete it, and then recover the account by mail. `address` is that
    of the client, from which failed logins no longer delay the next one.

    Raises:
        Rejected: with code `link_invalid`, if the link is unknown, used or too old.
    """
    with unit_of_work():
        link = account_links.use(token, RESET_PASSWORD, issuer)
        user = _owner_of(link)
        user.password_hash, user.updated_at = password_hash, datetime.now(UTC)
        if link.email != _NO_ADDRESS and user.email_verified_at is None:
            user.email_verified_at = user.updated_at
            audit.record(audit.EMAIL_VERIFIED, user_id=user.id, email=user.email)
        user.save(only=[User.password_hash, User.email_verified_at, User.updated_at])
        email_addresses.withdraw_change(user)
        login_throttle.forgive(user.id, address)
        audit.record(audit.PASSWORD_RESET, user_id=user.id)
        if user.email is not None and user.email_verified_at is not None:
            account_mails.queue(
                account_mails.PASSWORD_WAS_RESET, recipient=user.email, locale=user.locale, user_id=user.id
            )
        return revoke_sessions(user.id)


def _owner_of(link: Link) -> User:
    """Return the account of a link, if it is active and still has the address to which the link was mailed.

    Raises:
        Rejected: with code `link_invalid`.
    """
    user: User = User.get_by_id(link.user_id)
    if not user.is_active or link.email not in {_NO_ADDRESS, user.email}:
        raise link_invalid()
    return user


def _refusal(user: User) -> str | None:
    """Return why the account gets no link, for the audit log, or None."""
    if not user.is_active:
        return "disabled"
    if user.email_verified_at is None:
        return "unverified"
    an_hour_ago = fn.now() - timedelta(hours=1)
    recent = (AccountLink.user_id == user.id) & (AccountLink.purpose == RESET_PASSWORD)
    if AccountLink.select().where(recent & (AccountLink.created_at > an_hour_ago)).count() >= _LINKS_PER_HOUR:
        return "too many"
    return None
