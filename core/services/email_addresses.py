"""Email addresses of accounts: who has an account proves the address with a link or a code that is mailed there.

An address that was not proved works for logins, since it is a name of the account. A new address of an account waits as
`pending_email` until it is proved; until then the old one stays. Several accounts may wait for the same address; the
first one that proves it gets it.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from core.db import read, unit_of_work
from core.errors import Rejected, TooManyRequests
from core.messages import msg
from core.models.account import User
from core.policy import Actor
from core.security import TokenIssuer, link_invalid
from core.services import account_links, account_mails, account_names, audit

LINK_LIFETIME: Final = timedelta(hours=24)

# The first mail and five more. Otherwise somebody could fill the mailbox of a stranger by entering its address.
_MAILS_A_DAY: Final = 6
_SECONDS_BETWEEN: Final = 60
_DAY_SECONDS: Final = 24 * 60 * 60

_AGES_OF_LINKS = """
SELECT extract(epoch FROM clock_timestamp() - created_at)::float FROM account_links
WHERE user_id = %(user_id)s AND purpose = %(purpose)s AND created_at > now() - interval '1 day'
ORDER BY created_at DESC LIMIT %(limit)s
"""


def begin_verification(user_id: int, address: str, locale: str) -> None:
    """Mail a link and a code to an address of an account, in the running unit of work. Earlier ones end."""
    link_id = account_links.begin(user_id, account_links.VERIFY_EMAIL, address, LINK_LIFETIME)
    account_mails.queue(account_mails.VERIFY_EMAIL, recipient=address, locale=locale, user_id=user_id, link_id=link_id)
    audit.record(audit.EMAIL_VERIFICATION_SENT, user_id=user_id, email=address)


def resend_verification(actor: Actor, language: str) -> None:
    """Mail another link and code, in this language, to the address that the caller has still to prove.

    Raises:
        Rejected: with code `nothing_to_verify`, if there is no such address.
        TooManyRequests: with code `too_many_mails`, if there were too many of these mails lately.
    """
    with unit_of_work():
        user = _locked(actor.user_id)
        address = user.pending_email or (None if user.email_verified_at else user.email)
        if address is None:
            raise Rejected(msg("There is no email address to confirm."), code="nothing_to_verify")
        _refuse_too_many(user.id, seconds_between=_SECONDS_BETWEEN)
        begin_verification(user.id, address, language)


def request_change(user: User, address: str) -> None:
    """Let a new address wait until it is proved, in the running unit of work, which has locked the account.

    The old address is told, if it was proved.

    Raises:
        TooManyRequests: with code `too_many_mails`, if there were too many mails to new addresses lately.
    """
    _refuse_too_many(user.id, seconds_between=0)
    User.update(pending_email=address).where(User.id == user.id).execute()
    audit.record(audit.EMAIL_CHANGE_REQUESTED, user_id=user.id, email=address)
    begin_verification(user.id, address, user.locale)
    _tell_old_address(user, account_mails.EMAIL_CHANGE_BEGUN, new_email=address)


def withdraw_change(user: User) -> None:
    """Forget the address that waits to be proved, if there is one, in the running unit of work."""
    if user.pending_email is not None:
        User.update(pending_email=None).where(User.id == user.id).execute()
        account_links.end(user.id, account_links.VERIFY_EMAIL)


def forget_verification(user: User, *, by_mail: bool) -> None:
    """Note that the address was replaced or removed without proof, in the running unit of work.

    `by_mail` says whether mails can be sent. Then the address was removed, and is told so if it was proved.
    """
    withdraw_change(user)
    User.update(email_verified_at=None).where(User.id == user.id).execute()
    audit.record(audit.EMAIL_CHANGED, user_id=user.id, previous=user.email)
    if by_mail:
        _tell_old_address(user, account_mails.EMAIL_REMOVED)


def verify_by_token(token: str, issuer: TokenIssuer) -> None:
    """Use the link of a mail, which proves the address that it was mailed to.

    Raises:
        Rejected: with code `link_invalid`, or with `account_taken` if the address belongs to another account meanwhile.
    """
    with unit_of_work():
        _note_proof(account_links.use(token, account_links.VERIFY_EMAIL, issuer))


def verify_by_code(actor: Actor, code: str, issuer: TokenIssuer) -> None:
    """Use the code of a mail to the caller, which proves the address that it was mailed to.

    Raises:
        Rejected: with code `code_invalid` or `link_invalid`, or with `account_taken` if the address belongs to another
            account meanwhile.
    """
    link_id = account_links.check_code(actor.user_id, account_links.VERIFY_EMAIL, code, issuer)
    with unit_of_work():
        _note_proof(account_links.use_by_id(link_id))


def _note_proof(link: account_links.Link) -> None:
    user = _locked(link.user_id)
    if link.email == user.pending_email:
        names = {"email": link.email}
        if user.username == user.email:
            # If the username is the email, both change. Otherwise the old address would stay as the username.
            names["username"] = link.email
        account_names.change(user, names)
        audit.record(audit.EMAIL_CHANGED, user_id=user.id, previous=user.email)
        _tell_old_address(user, account_mails.EMAIL_CHANGED, new_email=link.email)
    elif link.email != user.email:
        raise link_invalid()
    now = datetime.now(UTC)
    proved = {"email_verified_at": now, "pending_email": None, "updated_at": now}
    User.update(proved).where(User.id == user.id).execute()
    audit.record(audit.EMAIL_VERIFIED, user_id=user.id, email=link.email)


def _tell_old_address(user: User, kind: str, **details: Any) -> None:
    """Mail to the address that the account has had until now, if it was proved: a stranger's address gets no mail."""
    if user.email is not None and user.email_verified_at is not None:
        account_mails.queue(kind, recipient=user.email, locale=user.locale, user_id=user.id, **details)


def _refuse_too_many(user_id: int, *, seconds_between: int) -> None:
    """Refuse one more link, if the newest is too young or there were `_MAILS_A_DAY` in the last day."""
    about = {"user_id": user_id, "purpose": account_links.VERIFY_EMAIL, "limit": _MAILS_A_DAY}
    ages = [age for (age,) in read(_AGES_OF_LINKS, about).fetch_all()]
    if len(ages) == _MAILS_A_DAY:
        wait = _DAY_SECONDS - ages[-1]
    elif ages and ages[0] < seconds_between:
        wait = seconds_between - ages[0]
    else:
        return
    seconds = max(round(wait), 1)
    raise TooManyRequests(
        msg("Too many mails were sent to you; come back in {seconds} s.", seconds=seconds),
        seconds,
        code="too_many_mails",
    )


def _locked(user_id: int) -> User:
    user: User = User.select().where(User.id == user_id).for_update().get()
    return user
