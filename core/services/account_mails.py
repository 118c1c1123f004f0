"""Mails about accounts, which no preference turns off: they are queued with the change that they are about.

A kind of mail is declared by one call of `_kind()`. A mail whose link was used or has expired is not sent any more.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import orjson

from core import events, jobs
from core.config import Settings
from core.db import connected
from core.events import Event
from core.jobs import JobContext, JobRequest
from core.links import MailLinks
from core.mail_caps import Cap, account_mail_caps, invitation_caps, unproved_address_caps
from core.mail_queue import MailQueue, OutgoingMail, new_mail
from core.messages import Message, language_of, msg
from core.models.account_mail import AccountLink, AccountMail
from core.models.invitation import Invitation
from core.retries import WaitingWork, send_overdue
from core.security import TokenIssuer
from core.services import account_links

WAITING: Final[WaitingWork[int]] = WaitingWork("account_mails", prefix="mail", key="id", given_up="dead")


@dataclass(frozen=True, slots=True)
class _Kind:
    """The texts of a kind of mail, and the function that makes its link.

    In the texts, `{link}` and `{code}` are those of the mail's link, `{app}` is the name of the installation, and all
    other names are members of the mail's details.
    """

    subject: Message
    paragraphs: tuple[Message, ...]
    link: Callable[[MailLinks], Callable[[str], str]] | None


_KINDS: Final[dict[str, _Kind]] = {}

Completion = Callable[[AccountMail], bool]
"""Finds what a mail that was queued for an address only still needs, or returns False: then none is sent."""

_completions: Final[dict[str, Completion]] = {}


def completes(kind: str) -> Callable[[Completion], Completion]:
    """Declare, as a decorator, the function that a worker calls for mails of this kind that name no account."""

    def register(completion: Completion) -> Completion:
        _completions[kind] = completion
        return completion

    return register


def _kind(
    name: str, subject: Message, *paragraphs: Message, link: Callable[[MailLinks], Callable[[str], str]] | None = None
) -> str:
    """Declare a kind of mail."""
    _KINDS[name] = _Kind(subject, paragraphs, link)
    return name


_FOR_ACCOUNTS: Final = msg("If this address has an account already, log in and accept the invitation there: {token}")
_INVITATION_RULES: Final = msg(
    "The invitation can be used once, and only for this address. Days until it ends: {days}. If you do not know "
    "{inviter}, do nothing."
)

VERIFY_EMAIL: Final = _kind(
    "verify_email",
    msg("Please confirm your email address"),
    msg("Somebody has entered this email address for an account at {app}. If it was you, open this page: {link}"),
    msg("Or enter this code where you are logged in: {code}"),
    msg("Both can be used for 24 hours, once. If it was not you, do nothing."),
    link=lambda links: links.to_verify_email,
)
EMAIL_CHANGE_BEGUN: Final = _kind(
    "email_change_begun",
    msg("The email address of your account is to change"),
    msg("Somebody who knows the password of your account at {app} wants to change its email address to {new_email}."),
    msg("This happens as soon as the new address is confirmed."),
    msg("If it was not you, change your password now: this stops the change and ends all other sessions."),
)
EMAIL_CHANGED: Final = _kind(
    "email_changed",
    msg("The email address of your account has changed"),
    msg("The email address of your account at {app} is {new_email} now. This address does not belong to it any more."),
    msg("If you did not want this, write to the operator of {app}."),
)
EMAIL_REMOVED: Final = _kind(
    "email_removed",
    msg("The email address of your account was removed"),
    msg("Your account at {app} has no email address any more."),
    msg("If you did not want this, write to the operator of {app}."),
)
PASSWORD_RESET: Final = _kind(
    "password_reset",
    msg("Choose a new password"),
    msg("To choose a new password for your account at {app}, open this page: {link}"),
    msg("It can be used for 30 minutes, once. If you have not asked for this, do nothing: your password stays."),
    link=lambda links: links.to_reset_password,
)
PASSWORD_WAS_RESET: Final = _kind(
    "password_was_reset",
    msg("Your password was replaced"),
    msg("Your account at {app} has a new password, and all its sessions and tokens have ended."),
    msg("If it was not you, write to the operator of {app}."),
)
INVITATION: Final = _kind(
    "invitation",
    msg("{inviter} invites you to {app}"),
    msg("{inviter} invites you to {app}. To accept, open this page: {link}"),
    _FOR_ACCOUNTS,
    _INVITATION_RULES,
)
GROUP_INVITATION: Final = _kind(
    "group_invitation",
    msg("{inviter} invites you to {app}"),
    msg("{inviter} invites you to the group “{group}” at {app}. To accept, open this page: {link}"),
    _FOR_ACCOUNTS,
    _INVITATION_RULES,
)


def queue(
    kind: str,
    *,
    recipient: str,
    locale: str,
    user_id: int | None = None,
    link_id: int | None = None,
    invitation_id: int | None = None,
    **details: Any,
) -> None:
    """Queue a mail about an account, in the running unit of work. It is sent after the commit.

    Args:
        kind: One of the kinds that this module declares.
        recipient: The address that gets the mail.
        locale: The locale of the reader.
        user_id: The account, or None if the reader has none.
        link_id: The link that the mail contains, if its kind has one.
        invitation_id: The invitation that the mail contains, if its kind has one.
        details: The values that the texts of this kind need.
    """
    mail = AccountMail.create(
        user_id=user_id,
        recipient=recipient,
        kind=kind,
        locale=locale,
        details=details,
        link_id=link_id,
        invitation_id=invitation_id,
    )
    events.record(events.ACCOUNT_MAIL_QUEUED, audience=[], data={"id": mail.id}, actor_id=user_id)


@jobs.caused_by(events.ACCOUNT_MAIL_QUEUED)
def request_mail(event: Event) -> Iterator[JobRequest]:
    """Request that a queued mail is sent."""
    yield jobs.ACCOUNT_MAIL_SEND.request(orjson.loads(event.data)["id"])


@jobs.ACCOUNT_MAIL_SEND.work
def send(context: JobContext, mail_id: int) -> None:
    """Send a mail about an account, if it is due and its link can still be used."""
    _QUEUE.send(context, mail_id)


@jobs.ACCOUNT_MAIL_SWEEP.work
def sweep(context: JobContext) -> int:
    """Send jobs for overdue mails, or discard them if no mail server is configured; returns how many."""
    if not context.mail_server.is_configured:
        return _QUEUE.discard()
    return send_overdue(context, jobs.ACCOUNT_MAIL_SEND, WAITING)


@jobs.ACCOUNT_MAIL_SWEEP.when
def is_overdue(_context: JobContext) -> bool:
    """Whether any mail is overdue."""
    return WAITING.has_overdue()


def _compose(context: JobContext, mail_id: int) -> OutgoingMail | None:
    """Compose a mail in the language of its reader; None if its link can be used no more."""
    with connected():
        row = AccountMail.get_by_id(mail_id)
        complete = _completions.get(row.kind)
        if row.user_id is None and complete is not None and not complete(row):
            return None
        secrets = _secrets(context, row)
    if secrets is None:
        return None
    kind = _KINDS[row.kind]
    values = {"app": context.settings.app_name} | row.details | secrets
    mail = new_mail(
        context.settings,
        to=row.recipient,
        subject=Message(kind.subject.template, **values),
        paragraphs=[Message(text.template, **values) for text in kind.paragraphs],
        message_id=f"account-mail-{mail_id}",
        language=language_of(row.locale),
    )
    return OutgoingMail(mail, _caps(context.settings, row))


def _secrets(context: JobContext, row: AccountMail) -> dict[str, str] | None:
    """Return the link of a mail, and its code or token, as far as it has them; None if they can be used no more."""
    issuer, links = TokenIssuer.from_settings(context.settings), context.mail_links
    if row.invitation_id is not None:
        invitation = Invitation.get_by_id(row.invitation_id)
        token = issuer.link_token(invitation.id, account_links.INVITATION, bytes(invitation.nonce))
        return {"link": links.to_invitation(token), "token": token} if invitation.is_open() else None
    if row.link_id is None:
        return {}
    link, to_page = AccountLink.get_by_id(row.link_id), _KINDS[row.kind].link
    if to_page is None or not account_links.is_usable(link.id):
        return None
    nonce = bytes(link.nonce)
    token = issuer.link_token(link.id, link.purpose, nonce)
    return {"link": to_page(links)(token), "code": issuer.link_code(link.id, nonce)}


def _caps(settings: Settings, row: AccountMail) -> tuple[Cap, ...]:
    if row.kind not in {VERIFY_EMAIL, INVITATION, GROUP_INVITATION}:
        return account_mail_caps(settings)
    caps = unproved_address_caps(settings, row.recipient)
    if row.kind in {INVITATION, GROUP_INVITATION}:
        caps += invitation_caps(settings, row.details["inviter_id"])
    return caps


_QUEUE: Final = MailQueue(WAITING, "account_mail_id", _compose)
