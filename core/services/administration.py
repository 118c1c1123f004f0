"""What admins do with accounts, and the deletion of accounts."""

from datetime import UTC, datetime
from typing import Any

import orjson
from peewee import fn

from core import events
from core.db import connected, read, unit_of_work
from core.errors import Conflict, NotFound
from core.messages import msg
from core.models.account import User
from core.models.task import Task
from core.policy import Actor, Role
from core.representations import Page, Representation
from core.services import account_links, audit
from core.services.accounts import represent_profile
from core.services.sessions import revoke_sessions, session_actor
from core.services.tasks import save


def list_accounts(search: str | None, role: Role | None, is_active: bool | None, skip: int, limit: int) -> Page:
    """Read a page of profiles, the oldest account first; `search` is a part of the username, email or full name."""
    query = User.select()
    if search is not None:
        part = search.lower()
        query = query.where(
            fn.strpos(fn.lower(User.username), part).cast("boolean")
            | fn.strpos(fn.lower(User.email), part).cast("boolean")
            | fn.strpos(fn.lower(User.full_name), part).cast("boolean")
        )
    if role is not None:
        query = query.where(User.role == role)
    if is_active is not None:
        query = query.where(User.is_active == is_active)
    with connected():
        page = query.order_by(User.id).offset(skip).limit(limit)
        return Page(orjson.dumps([user.profile() for user in page]).decode(), query.count())


def read_account(user_id: int) -> Representation:
    """Read the profile of any account."""
    with connected():
        user: User | None = User.get_or_none(User.id == user_id)
    if user is None:
        raise _not_found()
    return represent_profile(user)


def change_account(admin: Actor, user_id: int, changes: dict[str, Any]) -> tuple[Representation, list[int]]:
    """Change an account's role or whether it is active; returns the profile and the ids of the ended sessions.

    Every change ends the account's sessions, since their permissions were set when they began.

    Raises:
        NotFound: if there is no such account.
        Conflict: with code `last_admin`, if there would be no admin any more.
        Unauthenticated: with code `session_revoked`, if the caller's session has ended meanwhile.
    """
    with unit_of_work():
        ended = _change(_locked(admin, user_id), changes, admin.user_id)
        return represent_profile(User.get_by_id(user_id)), ended


def set_active(identifier: str, *, is_active: bool) -> None:
    """Disable or enable the account with this email or username, as the operator; disabling ends its sessions.

    Raises:
        NotFound: if there is no such account.
        Conflict: with code `last_admin`, if there would be no admin any more.
    """
    with unit_of_work():
        _lock_admins()
        user = User.named(identifier)
        if user is None:
            raise _not_found()
        _change(user, {"is_active": is_active}, user.id)


def confirm_email(email: str) -> bool:
    """Count the email of an account as confirmed, as the operator; returns whether an account has this email."""
    with unit_of_work():
        user = User.named(email) if "@" in email else None
        if user is None:
            return False
        User.update(email_verified_at=datetime.now(UTC)).where(User.id == user.id).execute()
        audit.record(audit.EMAIL_VERIFIED, user_id=user.id, by="operator")
        return True


def _change(user: User, changes: dict[str, Any], actor_id: int) -> list[int]:
    """Change a locked account; returns the ids of the sessions that were ended, which are all if anything changes."""
    changes = {name: value for name, value in changes.items() if getattr(user, name) != value}
    if not changes:
        return []
    if changes.get("role", user.role) != Role.ADMIN or not changes.get("is_active", user.is_active):
        _require_another_admin(user)
    User.update(changes | {"updated_at": datetime.now(UTC)}).where(User.id == user.id).execute()
    audit.record(audit.ACCOUNT_CHANGED, actor_id=actor_id, user_id=user.id, **changes)
    if not changes.get("is_active", True):
        # Otherwise links that somebody has got hold of would work again when the account is enabled again.
        for purpose in (account_links.RESET_PASSWORD, account_links.VERIFY_EMAIL):
            account_links.end(user.id, purpose)
    return revoke_sessions(user.id)


def delete_account(actor: Actor, user_id: int) -> list[int]:
    """Delete an account with all that it owns; returns the ids of the sessions that were ended.

    Its tasks are deleted, each with an event. Tasks of others that were assigned to it have no assignee afterwards.

    Raises:
        NotFound: if there is no such account.
        Conflict: with code `last_admin`, if there would be no admin any more.
        Unauthenticated: with code `session_revoked`, if the caller's session has ended meanwhile.
    """
    with unit_of_work():
        _require_another_admin(_locked(actor, user_id))
        ended = revoke_sessions(user_id)
        concerned = Task.select(Task.id, Task.user_id).where((Task.user_id == user_id) | (Task.assignee_id == user_id))
        for task in concerned.order_by(Task.id).for_update():
            if task.user_id == user_id:
                events.record_task(events.TASK_DELETED, task.id, actor.user_id)
            else:
                save(task.id, {"assignee_id": None}, actor.user_id, {"assignee_id": (user_id, None)})
        User.delete().where(User.id == user_id).execute()
        audit.record(audit.ACCOUNT_DELETED, actor_id=actor.user_id, user_id=user_id)
        return ended


def _locked(actor: Actor, user_id: int) -> User:
    """Lock all admins, then the account: if two admins demote each other at the same time, only one may succeed.

    The process may not know yet that the session of the caller has ended, for example because the caller is no admin
    any more. So this is looked up under the lock.
    """
    _lock_admins()
    session_actor(actor.session_id)
    user: User | None = User.select().where(User.id == user_id).for_update().get_or_none()
    if user is None:
        raise _not_found()
    return user


def _lock_admins() -> None:
    read("SELECT id FROM users WHERE role = 'admin' ORDER BY id FOR UPDATE")


def _require_another_admin(user: User) -> None:
    others = User.select().where(User.role == Role.ADMIN, User.is_active, User.id != user.id)
    if user.role == Role.ADMIN and not others.exists():
        raise Conflict(msg("This is the last admin; make another one first."), code="last_admin")


def _not_found() -> NotFound:
    return NotFound(msg("There is no such account."), code="account_not_found")
