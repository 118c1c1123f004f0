"""Accounts: register, read and change a profile, make an account an admin.

Hashing a password takes a quarter of a second, so it never happens inside a transaction. Callers hash and compare
passwords before they call these functions. `core.services.confirmation` checks the caller's own password.
"""

from datetime import UTC, datetime
from typing import Any

import orjson
from peewee import fn

from core.db import connected, read, unit_of_work
from core.errors import FieldError, Invalid, NotFound
from core.messages import msg
from core.models.account import User
from core.models.collaboration import TaskActivity
from core.models.task import Task
from core.names import name_keys, normalized
from core.passwords import require_strong_password
from core.policy import Actor, Role, may_see_account, may_see_email
from core.representations import Representation
from core.security import hash_password
from core.services import account_links, account_names, audit, email_addresses
from core.services.sessions import revoke_sessions, session_actor

_NAMES = ("username", "email")

_LOCK_ACTIVE = "SELECT FROM users WHERE id = %(user_id)s AND is_active FOR KEY SHARE"


def register(
    *,
    username: str,
    email: str | None,
    full_name: str | None,
    password_hash: str,
    role: Role = Role.USER,
    is_verified: bool = False,
    mail_language: str | None = None,
) -> Representation:
    """Create an account and return its profile.

    `is_verified` says that the email needs no proof. `mail_language` is the language of the mail that asks for the
    proof, or None if no such mail is sent.

    Raises:
        Rejected: with code `account_taken`, if the email or the username belongs to someone already.
    """
    account = {"username": username, "email": email, "full_name": full_name, "password_hash": password_hash}
    keys = name_keys({"username": username, "email": email})
    with unit_of_work():
        # PostgreSQL writes a statement that fails into its log, with its values. This one does not fail on a conflict.
        verified_at = datetime.now(UTC) if is_verified else None
        inserted = User.insert(**account, **keys, role=role, email_verified_at=verified_at)
        user_id = inserted.on_conflict_ignore().execute()
        if user_id is None:
            raise account_names.taken()
        audit.record(audit.REGISTERED, user_id=user_id, role=role)
        if email is not None and mail_language is not None:
            email_addresses.begin_verification(user_id, email, mail_language)
        return represent_profile(User.get_by_id(user_id))


def register_admin(email: str, password: str, bcrypt_rounds: int) -> None:
    """Create an admin account. Its email counts as verified, because the operator has entered it.

    The password is hashed here, before the transaction: this happens once, at the start or by a command, so it does
    not need the threads for passwords.

    Raises:
        Rejected: with code `account_taken`, if the email belongs to someone already.
    """
    email = normalized(email)
    if _is_taken(email):
        raise account_names.taken()
    password_hash = hash_password(password, bcrypt_rounds)
    register(
        username=email, email=email, full_name=None, password_hash=password_hash, role=Role.ADMIN, is_verified=True
    )


def represent_profile(user: User) -> Representation:
    """Return an account as its owner and admins see it."""
    return Representation(user.id, orjson.dumps(user.profile()).decode())


def require_strong_own_password(actor: Actor, password: str, changes: dict[str, Any], min_score: int) -> None:
    """Refuse a new password of the caller that is easy to guess; `changes` may contain new names of the account.

    Raises:
        Invalid: if it is too weak.
    """
    with connected():
        profile = User.get_by_id(actor.user_id).profile() | changes
    require_strong_password(password, (profile["username"], profile["email"], profile["full_name"]), min_score)


def read_profile(actor: Actor) -> Representation:
    """Return the caller's profile."""
    with connected():
        return represent_profile(User.get_by_id(actor.user_id))


def read_known_profile(actor: Actor, user_id: int) -> dict[str, Any]:
    """Return what the caller may see of an account: id, username, email and full name.

    Raises:
        NotFound: if there is no such account, or the caller may not see it.
    """
    with connected():
        user: User | None = User.get_or_none(User.id == user_id)
        if user is None or not may_see_account(actor, user_id, shares_task=_shares_task(actor, user_id)):
            raise NotFound(msg("There is no such account."), code="account_not_found")
    known = {"id": user.id, "username": user.username, "email": user.email, "full_name": user.full_name}
    if not may_see_email(actor, user_id):
        # The username may be the email too, which the caller may not see.
        return known | {"email": None, "username": user.username.partition("@")[0]}
    return known


def update_profile(
    actor: Actor, changes: dict[str, Any], *, is_confirmed: bool, verifies_email: bool = False
) -> Representation:
    """Change columns of the caller's account and return the profile. A new password ends all other sessions.

    `is_confirmed` says whether the caller's password was checked. A new email needs that: who has the email can recover
    the account. `verifies_email` says whether mails can be sent; then a new email waits until a mail has proved it. The
    present email as the new one, or a new password, withdraws an email that waits.

    Raises:
        Invalid: if the email would change and the password was not checked, if the account would have no name, or the
            email of another person as its username.
        Rejected: with code `account_taken`, if the new email or username belongs to someone already.
        TooManyRequests: with code `too_many_mails`, if the email was changed too often lately.
        Unauthenticated: with code `session_revoked`, if the caller's session has ended meanwhile.
    """
    with unit_of_work():
        user: User = User.select().where(User.id == actor.user_id).for_update().get()
        # A reset of the password may have ended the session after the caller's password was compared.
        session_actor(actor.session_id)
        changes_email = changes.get("email", user.email) != user.email
        if changes_email and not is_confirmed:
            raise Invalid([FieldError("current_password", msg("is needed to change the email"))])
        if "email" in changes and "username" not in changes and user.username == user.email:
            if changes["email"] is None:
                raise Invalid([FieldError("email", msg("is the account's only name; a username must replace it"))])
            # If the username is the email, both change. Otherwise the old address would stay as the username.
            changes = changes | {"username": changes["email"]}
        waiting = changes["email"] if changes_email and verifies_email else None
        if waiting is not None:
            account_names.require_free(user, {"email": waiting})
            changes = _without_waiting(user, changes, waiting)
        _require_own_name(user, changes)
        # The names come first. If somebody takes one at the same time, the statement fails, and PostgreSQL writes it
        # into its log; it contains no hash.
        names = _changed_names(user, changes)
        account_names.change(user, names)
        others = {name: value for name, value in changes.items() if name not in _NAMES}
        User.update(others | {"updated_at": datetime.now(UTC)}).where(User.id == user.id).execute()
        if changes or waiting is None:
            audit.record(
                audit.PASSWORD_CHANGED if "password_hash" in changes else audit.PROFILE_CHANGED,
                user_id=user.id,
                fields=sorted(changes.keys() - {"password_hash"}),
            )
        if waiting is not None:
            email_addresses.request_change(user, waiting)
        elif changes_email:
            email_addresses.forget_verification(user, by_mail=verifies_email)
        elif "email" in changes or "password_hash" in changes:
            email_addresses.withdraw_change(user)
        if "password_hash" in changes:
            account_links.end(user.id, account_links.RESET_PASSWORD)
            revoke_sessions(user.id, but=actor.session_id)
        return represent_profile(User.get_by_id(user.id))


def promote(identifier: str, role: Role) -> dict[str, Any] | None:
    """Give the account with this email or username a role and end its sessions; returns its profile, or None."""
    with unit_of_work():
        user = User.named(identifier)
        if user is not None:
            User.update(role=role, updated_at=datetime.now(UTC)).where(User.id == user.id).execute()
            audit.record(audit.ACCOUNT_CHANGED, user_id=user.id, role=role)
            revoke_sessions(user.id)
    return None if user is None else user.profile() | {"role": role}


def lock_active_account(user_id: int) -> bool:
    """Whether there is an active account with this id; the account cannot be deleted until the unit of work ends."""
    return read(_LOCK_ACTIVE, {"user_id": user_id}).fetch_one() is not None


def _shares_task(actor: Actor, user_id: int) -> bool:
    """Whether the other person has assigned a task to the caller, or has worked on a task that the caller assigned.

    It is not enough that the caller has assigned a task: everybody can assign one to any account.
    """
    own_work = TaskActivity.select().where(TaskActivity.task_id == Task.id, TaskActivity.actor_id == user_id)
    received = (Task.user_id == user_id) & (Task.assignee_id == actor.user_id)
    worked_on = (Task.user_id == actor.user_id) & (Task.assignee_id == user_id) & fn.EXISTS(own_work)
    return bool(Task.select().where(received | worked_on).exists())


def _require_own_name(user: User, changes: dict[str, Any]) -> None:
    """Refuse a username with an `@` that is not the account's email, so that no identifier matches two accounts."""
    username, email = (changes.get(name, getattr(user, name)) for name in ("username", "email"))
    if "@" in username and username != email:
        raise Invalid([FieldError("username", msg("may hold an @ only where it is the account's own email"))])


def _without_waiting(user: User, changes: dict[str, Any], email: str) -> dict[str, Any]:
    """Return the changes without an email that waits for its proof, and without the username that follows it."""
    follows = user.username == user.email and changes.get("username") == email
    waiting = {"email", "username"} if follows else {"email"}
    return {name: value for name, value in changes.items() if name not in waiting}


def _changed_names(user: User, changes: dict[str, Any]) -> dict[str, Any]:
    return {name: changes[name] for name in _NAMES if name in changes and changes[name] != getattr(user, name)}


def _is_taken(email: str) -> bool:
    with connected():
        return User.named(email) is not None
