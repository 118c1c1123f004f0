"""Single-use links that are mailed to a person, and the codes that people may type instead.

A row has a random nonce. The token of the link and the code are HMACs of the row's id and this nonce, made with
`SECRET_KEY`. So a worker can compose the mail later, and whoever reads the database can use no link.
"""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from peewee import fn

from core.db import unit_of_work
from core.errors import Rejected
from core.messages import msg
from core.models.account import User
from core.models.account_mail import AccountLink
from core.security import TokenIssuer, link_invalid

VERIFY_EMAIL: Final = "verify_email"
INVITATION: Final = "invitation"
RESET_PASSWORD: Final = "reset_password"  # noqa: S105 - the purpose of a link.

_NONCE_BYTES: Final = 16
_CODES: Final = 5


@dataclass(frozen=True, slots=True)
class Link:
    """A link that may be used: its account, and the address to which it was mailed."""

    id: int
    user_id: int
    email: str


def begin(user_id: int, purpose: str, email: str, lifetime: timedelta) -> int:
    """Make a link, in the running unit of work; returns its id. Earlier links of this purpose end.

    The lock of the account's row makes two simultaneous calls leave only one link.
    """
    User.select(User.id).where(User.id == user_id).for_update().get()
    end(user_id, purpose)
    link = AccountLink.create(
        user_id=user_id,
        purpose=purpose,
        email=email,
        nonce=secrets.token_bytes(_NONCE_BYTES),
        expires_at=datetime.now(UTC) + lifetime,
    )
    return int(link.id)


def end(user_id: int, purpose: str) -> None:
    """End the links of an account that have this purpose, in the running unit of work."""
    open_links = (AccountLink.user_id == user_id) & (AccountLink.purpose == purpose) & _is_open()
    AccountLink.update(expires_at=fn.now()).where(open_links).execute()


def find(token: str, purpose: str, issuer: TokenIssuer) -> Link:
    """Return the link with this token without using it; the caller has a connection.

    Raises:
        Rejected: with code `link_invalid`, if the link is unknown, used or too old.
    """
    is_wanted = _has_token(token, purpose, issuer) & _is_open()
    found: AccountLink | None = AccountLink.select().where(is_wanted).get_or_none()
    if found is None:
        raise link_invalid()
    return Link(found.id, found.user_id, found.email)


def use(token: str, purpose: str, issuer: TokenIssuer) -> Link:
    """Use the link with this token, in the running unit of work. If that is undone, the link can be used again.

    Raises:
        Rejected: with code `link_invalid`, if the link is unknown, used or too old.
    """
    return _use(_has_token(token, purpose, issuer))


def check_code(user_id: int, purpose: str, code: str, issuer: TokenIssuer) -> int:
    """Return the id of the account's link that was mailed with this code; `use_by_id()` then uses it.

    Every call is counted before the comparison, in a transaction of its own, so that parallel guesses are counted too.
    After five calls the code of a link is refused, and only the link itself works.

    Raises:
        Rejected: with code `code_invalid`, if the code is wrong, or no link of the account has a code any more.
    """
    countable = (AccountLink.user_id == user_id) & (AccountLink.purpose == purpose) & _is_open()
    with unit_of_work():
        counted = list(
            AccountLink.update(failed_codes=AccountLink.failed_codes + 1)
            .where(countable & (AccountLink.failed_codes < _CODES))
            .returning(AccountLink)
            .execute()
        )
    for link in counted:
        if issuer.is_link_code(code, link.id, bytes(link.nonce)):
            return int(link.id)
    raise Rejected(msg("This code is not valid, or no longer. Please request a new mail."), code="code_invalid")


def use_by_id(link_id: int) -> Link:
    """Use a link whose code was checked, in the running unit of work.

    Raises:
        Rejected: with code `link_invalid`, if it was used or has ended in the meantime.
    """
    return _use(AccountLink.id == link_id)


def is_usable(link_id: int) -> bool:
    """Whether a link can still be used; the caller has a connection."""
    return bool(AccountLink.select().where((AccountLink.id == link_id) & _is_open()).exists())


def _has_token(token: str, purpose: str, issuer: TokenIssuer) -> Any:
    link_id, nonce = issuer.read_link_token(token, purpose)
    return (AccountLink.id == link_id) & (AccountLink.nonce == nonce)


def _use(is_wanted: object) -> Link:
    """Use the only link for which the condition holds, if its account is active.

    The account is locked before the link, in the same order as in `begin()`, so that the two cannot deadlock.
    """
    found: AccountLink | None = AccountLink.select().where(is_wanted).get_or_none()
    if found is None:
        raise link_invalid()
    owner = User.select(User.id).where(User.id == found.user_id, User.is_active).for_update().get_or_none()
    this_open_one = (AccountLink.id == found.id) & _is_open()
    if owner is None or not AccountLink.update(used_at=fn.now()).where(this_open_one).execute():
        raise link_invalid()
    return Link(found.id, found.user_id, found.email)


def _is_open() -> object:
    return AccountLink.used_at.is_null() & (AccountLink.expires_at > fn.now())
