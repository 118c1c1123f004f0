"""Accounts: register, find what a login is checked against, read and change one's profile.

Hashing a password takes a quarter of a second, so no function here does it: callers bring hashes, and compare
passwords, outside any transaction.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from peewee import IntegrityError

from core.db import connected, read, unit_of_work
from core.errors import FieldError, Invalid, NotFound, Rejected
from core.messages import msg
from core.models import Task, User
from core.policy import Actor, Role, may_see_account, may_see_email
from core.services import audit
from core.services.sessions import revoke_sessions

_HOLD_ACTIVE = "SELECT FROM users WHERE id = %(user_id)s AND is_active FOR KEY SHARE"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What is needed to check a password."""

    user_id: int
    password_hash: str
    is_active: bool


def register(
    *, username: str, email: str | None, full_name: str | None, password_hash: str, role: Role = Role.USER
) -> dict[str, Any]:
    """Create an account and answer its profile.

    Raises:
        Rejected: with code `account_taken` where the email or the username belongs to someone already.
    """
    try:
        with unit_of_work():
            user = User.create(
                username=username, email=email, full_name=full_name, password_hash=password_hash, role=role
            )
            audit.record(audit.REGISTERED, user_id=user.id, role=role)
            return User.get_by_id(user.id).profile()
    except IntegrityError:
        raise _taken() from None


def find_credentials(identifier: str) -> Credentials | None:
    """Find what an email or a username logs in with."""
    with connected():
        return _credentials(User.named(identifier))


def note_failed_login(user_id: int | None) -> None:
    """Put a failed login into the audit log; of names that belong to nobody there is only the place it came from."""
    with unit_of_work():
        audit.record(audit.LOGIN_FAILED, user_id=user_id)


def own_credentials(actor: Actor) -> Credentials:
    """What the caller logs in with."""
    with connected():
        user = User.get_by_id(actor.user_id)
    return Credentials(user.id, user.password_hash, user.is_active)


def read_profile(actor: Actor) -> dict[str, Any]:
    """The caller's profile."""
    with connected():
        return User.get_by_id(actor.user_id).profile()


def read_known_profile(actor: Actor, user_id: int) -> dict[str, Any]:
    """The profile of an account that the caller may see.

    Raises:
        NotFound: where there is none; what a stranger is called, and whether there is one, is not told.
    """
    shared = ((Task.user_id == actor.user_id) & (Task.assignee_id == user_id)) | (
        (Task.user_id == user_id) & (Task.assignee_id == actor.user_id)
    )
    with connected():
        user: User | None = User.get_or_none(User.id == user_id)
        if user is None or not may_see_account(actor, user_id, shares_task=Task.select().where(shared).exists()):
            raise NotFound(msg("There is no such account."), code="account_not_found")
    profile = user.profile()
    if not may_see_email(actor, user_id):
        # A username may be the email as well.
        return profile | {"email": None, "username": user.username.partition("@")[0]}
    return profile


def update_profile(actor: Actor, changes: dict[str, Any]) -> dict[str, Any]:
    """Change columns of the caller's account and answer the profile. A new password ends all other sessions.

    Raises:
        Rejected: with code `account_taken` where the new email or username belongs to someone already.
    """
    try:
        with unit_of_work():
            user: User = User.select().where(User.id == actor.user_id).for_update().get()
            if "email" in changes and user.username == user.email:
                # Who is called by their email stays so; otherwise the old address would go on as a username.
                changes = {"username": changes["email"]} | changes
            _require_own_name(user, changes)
            audit.record(
                audit.PASSWORD_CHANGED if "password_hash" in changes else audit.PROFILE_CHANGED,
                user_id=user.id,
                fields=sorted(changes.keys() - {"password_hash"}),
            )
            User.update(changes | {"updated_at": datetime.now(UTC)}).where(User.id == user.id).execute()
            if "password_hash" in changes:
                revoke_sessions(user.id, but=actor.session_id)
            return User.get_by_id(user.id).profile()
    except IntegrityError:
        raise _taken() from None


def promote(identifier: str, role: Role) -> bool:
    """Give the account of this email or username a role, which ends its sessions; answers whether there is one."""
    with unit_of_work():
        user = User.named(identifier)
        if user is not None:
            User.update(role=role, updated_at=datetime.now(UTC)).where(User.id == user.id).execute()
            audit.record(audit.ACCOUNT_CHANGED, user_id=user.id, role=role)
            revoke_sessions(user.id)
    return user is not None


def lock_active_account(user_id: int) -> bool:
    """Whether there is an active account with this id; it is not deleted before the running unit of work has ended."""
    return read(_HOLD_ACTIVE, {"user_id": user_id}).fetch_one() is not None


def _require_own_name(user: User, changes: dict[str, Any]) -> None:
    """Keep an identifier from meaning two accounts: a username holds an `@` only where it is the account's email."""
    username, email = (changes.get(name, getattr(user, name)) for name in ("username", "email"))
    if "@" in username and username != email:
        raise Invalid([FieldError("username", msg("may hold an @ only where it is the account's own email"))])


def _credentials(user: User | None) -> Credentials | None:
    return None if user is None else Credentials(user.id, user.password_hash, user.is_active)


def _taken() -> Rejected:
    return Rejected(msg("An account with this email or username exists already."), code="account_taken")
