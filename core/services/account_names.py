"""The names of accounts, email and username, each of which belongs to one account only."""

from typing import Any

from peewee import IntegrityError

from core.db import connected, unit_of_work
from core.errors import Rejected
from core.messages import msg
from core.models.account import User
from core.names import name_keys


def without_normal_form() -> list[User]:
    """Return the accounts one of whose names has no normal form of its own, because another account has it."""
    lacks_username = User.username.is_null(False) & User.username_key.is_null()
    lacks_email = User.email.is_null(False) & User.email_key.is_null()
    with connected():
        return list(User.select().where(lacks_username | lacks_email).order_by(User.id))


def require_free(user: User, names: dict[str, Any]) -> None:
    """Refuse names of other accounts.

    Without this check a statement would fail later, and PostgreSQL would write it, with the names, into its log.

    Raises:
        Rejected: with code `account_taken`.
    """
    for name in filter(None, names.values()):
        owner = User.named(name)
        if owner is not None and owner.id != user.id:
            raise taken()


def change(user: User, names: dict[str, Any]) -> None:
    """Give an account other names, in the running unit of work; `names` has the columns that change.

    Raises:
        Rejected: with code `account_taken`, if one of them belongs to another account already.
    """
    require_free(user, names)
    try:
        # A part of the running unit of work, since somebody may still take a name after the check. The keys come after
        # the names, because a trigger may clear the key of a name that changes (see migration 009).
        with unit_of_work():
            for values in filter(None, (names, name_keys(names))):
                User.update(values).where(User.id == user.id).execute()
    except IntegrityError:
        raise taken() from None


def taken() -> Rejected:
    """Return the failure for a name that belongs to another account."""
    return Rejected(msg("An account with this email or username exists already."), code="account_taken")
