"""What admins do with accounts, and what all users may do with their own account: export its data, and delete it."""

from datetime import UTC, datetime
from typing import Any

import orjson
from peewee import fn

from core import events
from core.db import connected, read, unit_of_work
from core.errors import Conflict, NotFound
from core.messages import msg
from core.models.account import Session, User
from core.models.task import TASK_JSON, Task
from core.policy import Actor, Role
from core.representations import Page, Representation
from core.services import attachments, audit, feedback
from core.services.accounts import represent_profile
from core.services.sessions import revoke_sessions
from core.services.tasks import save

_OWN_TASKS = (
    f"SELECT coalesce(json_agg({TASK_JSON} ORDER BY t.id), '[]')::text FROM tasks t WHERE t.user_id = %(user_id)s"
)

# The caller's groups, and what the caller has done with tasks of any owner.
_OWN_TEAMWORK = """
SELECT to_json(ARRAY(SELECT row_to_json(own) FROM (
           SELECT m.group_id, g.name, m.is_manager, m.joined_at FROM group_members m JOIN groups g ON g.id = m.group_id
           WHERE m.user_id = %(user_id)s ORDER BY m.group_id) own))::text,
       to_json(ARRAY(SELECT row_to_json(own) FROM (
           SELECT id, task_id, body, created_at, updated_at FROM comments
           WHERE user_id = %(user_id)s ORDER BY id) own))::text,
       to_json(ARRAY(SELECT row_to_json(own) FROM (
           SELECT id, task_id, from_id, to_id, note, created_at FROM delegations
           WHERE actor_id = %(user_id)s ORDER BY id) own))::text,
       to_json(ARRAY(SELECT row_to_json(own) FROM (
           SELECT id, task_id, remind_at, seconds_before_due, fires_at, fired_at, created_at FROM reminders
           WHERE user_id = %(user_id)s ORDER BY id) own))::text,
       to_json(ARRAY(SELECT row_to_json(own) FROM (
           SELECT id, kind, task_id, actor_id, details, created_at, read_at FROM notifications
           WHERE user_id = %(user_id)s ORDER BY id) own))::text,
       to_json(ARRAY(SELECT row_to_json(own) FROM (
           SELECT id, email, group_id, created_at, expires_at, accepted_at FROM invitations
           WHERE inviter_id = %(user_id)s ORDER BY id) own))::text
"""

_TEAMWORK = ("groups", "comments", "delegations", "reminders", "notifications", "invitations")


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
    """
    with unit_of_work():
        user = _locked(user_id)
        changes = {name: value for name, value in changes.items() if getattr(user, name) != value}
        if not changes:
            return represent_profile(user), []
        if changes.get("role", user.role) != Role.ADMIN or not changes.get("is_active", user.is_active):
            _require_another_admin(user)
        User.update(changes | {"updated_at": datetime.now(UTC)}).where(User.id == user_id).execute()
        audit.record(audit.ACCOUNT_CHANGED, actor_id=admin.user_id, user_id=user_id, **changes)
        ended = revoke_sessions(user_id)
        return represent_profile(User.get_by_id(user_id)), ended


def delete_account(actor: Actor, user_id: int) -> list[int]:
    """Delete an account with all that it owns; returns the ids of the sessions that were ended.

    Its tasks are deleted, each with an event. Tasks of others that were assigned to it have no assignee afterwards.

    Raises:
        NotFound: if there is no such account.
        Conflict: with code `last_admin`, if there would be no admin any more.
    """
    with unit_of_work():
        _require_another_admin(_locked(user_id))
        ended = revoke_sessions(user_id)
        concerned = Task.select(Task.id, Task.user_id).where((Task.user_id == user_id) | (Task.assignee_id == user_id))
        for task in concerned.order_by(Task.id).for_update():
            if task.user_id == user_id:
                events.record_task(events.TASK_DELETED, task.id, actor.user_id)
            else:
                save(task.id, {"assignee_id": None})
                unassigned = {"assignee_id": (user_id, None)}
                events.record_task(events.TASK_UPDATED, task.id, actor.user_id, changes=unassigned)
        User.delete().where(User.id == user_id).execute()
        audit.record(audit.ACCOUNT_DELETED, actor_id=actor.user_id, user_id=user_id)
        return ended


def export_account(actor: Actor) -> Representation:
    """Return all data that are stored about the caller; the audit log records it."""
    with unit_of_work():
        audit.record(audit.DATA_EXPORTED, user_id=actor.user_id, what="account")
        profile = User.get_by_id(actor.user_id).profile()
        open_sessions = list(
            Session.select(Session.id, Session.ip_address, Session.user_agent, Session.created_at, Session.last_used_at)
            .where(Session.user_id == actor.user_id)
            .order_by(Session.id)
            .dicts()
        )
    own_tasks = read(_OWN_TASKS, {"user_id": actor.user_id}).fetch_value()
    teamwork = map(orjson.Fragment, read(_OWN_TEAMWORK, {"user_id": actor.user_id}).fetch_exactly_one())
    log = audit.read_audit_log(actor.user_id, 0, 10_000)
    content = orjson.dumps(
        {
            "profile": profile,
            "sessions": open_sessions,
            "attachments": attachments.list_own_attachments(actor),
            "tasks": orjson.Fragment(own_tasks),
            **dict(zip(_TEAMWORK, teamwork, strict=True)),
            "feedback": orjson.Fragment(feedback.feedback_of(actor)),
            "audit": orjson.Fragment(log.items),
        }
    )
    return Representation(actor.user_id, content.decode())


def _locked(user_id: int) -> User:
    """Lock all admins, then the account: if two admins demote each other at the same time, only one may succeed."""
    read("SELECT id FROM users WHERE role = 'admin' ORDER BY id FOR UPDATE")
    user: User | None = User.select().where(User.id == user_id).for_update().get_or_none()
    if user is None:
        raise _not_found()
    return user


def _require_another_admin(user: User) -> None:
    others = User.select().where(User.role == Role.ADMIN, User.is_active, User.id != user.id)
    if user.role == Role.ADMIN and not others.exists():
        raise Conflict(msg("This is the last admin; make another one first."), code="last_admin")


def _not_found() -> NotFound:
    return NotFound(msg("There is no such account."), code="account_not_found")
