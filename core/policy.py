"""Who may do what: pure functions over plain values, no database.

`Task.visible_to()` says the same as `may_read_task()` in SQL, for lists; a test holds the two against each other.
"""

from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    """What a personal access token may be used for."""

    TASKS_READ = "tasks:read"
    TASKS_WRITE = "tasks:write"
    ANALYTICS_READ = "analytics:read"
    EVENTS_READ = "events:read"
    ADMIN = "admin"


class Role(StrEnum):
    """What an account may be."""

    USER = "user"
    MANAGER = "manager"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who is calling: an account, the session behind its token, and what that token is limited to.

    `scopes` is None for somebody who has logged in, who may do all that the account may. `locale` is the profile's.
    """

    user_id: int
    role: Role
    session_id: int
    scopes: frozenset[str] | None = None
    locale: str = "en"

    @property
    def is_admin(self) -> bool:
        """Whether everything is open: to an admin's login, and to a token that an admin gave this scope."""
        return self.role is Role.ADMIN and (self.scopes is None or Scope.ADMIN in self.scopes)


def missing_scope(actor: Actor, scope: Scope) -> bool:
    """Whether the caller's token is limited to other things."""
    return actor.scopes is not None and scope not in actor.scopes


@dataclass(frozen=True, slots=True)
class TaskAccess:
    """On what permission over a task depends, for one caller: its people, and the caller's place in its group."""

    owner_id: int
    assignee_id: int | None
    in_group: bool = False
    manages_group: bool = False


def may_read_task(actor: Actor, task: TaskAccess) -> bool:
    """Owner, assignee, the task's group and admins read a task."""
    return actor.is_admin or task.in_group or actor.user_id in {task.owner_id, task.assignee_id}


def may_update_task(actor: Actor, task: TaskAccess) -> bool:
    """Who reads a task may also work on it."""
    return may_read_task(actor, task)


def may_assign_task(actor: Actor, task: TaskAccess) -> bool:
    """The owner, the managers of its group and admins say who works on a task."""
    return actor.is_admin or task.manages_group or actor.user_id == task.owner_id


def may_delegate_task(actor: Actor, task: TaskAccess) -> bool:
    """An assignee passes a task on, and so does who may assign it."""
    return actor.user_id == task.assignee_id or may_assign_task(actor, task)


def may_delete_task(actor: Actor, task: TaskAccess) -> bool:
    """Only the owner and admins delete a task."""
    return actor.is_admin or actor.user_id == task.owner_id


def may_change_comment(actor: Actor, author_id: int | None) -> bool:
    """Only its author changes a comment."""
    return actor.user_id == author_id


def may_delete_comment(actor: Actor, task: TaskAccess, author_id: int | None) -> bool:
    """The author, the task's owner and admins delete a comment."""
    return may_change_comment(actor, author_id) or may_delete_task(actor, task)


def may_create_group(actor: Actor) -> bool:
    """Managers and admins make groups."""
    return actor.is_admin or actor.role is Role.MANAGER


@dataclass(frozen=True, slots=True)
class GroupAccess:
    """The caller's place in a group."""

    is_member: bool
    is_manager: bool


def may_read_group(actor: Actor, group: GroupAccess) -> bool:
    """The members of a group and admins see it."""
    return actor.is_admin or group.is_member


def may_manage_group(actor: Actor, group: GroupAccess) -> bool:
    """The managers of a group and admins rename and delete it, and say who belongs to it."""
    return actor.is_admin or group.is_manager


def may_see_account(actor: Actor, user_id: int, *, shares_task: bool) -> bool:
    """Who one is oneself, and with whom one shares a task as owner and assignee; admins see everybody."""
    return actor.is_admin or actor.user_id == user_id or shares_task


def may_see_email(actor: Actor, user_id: int) -> bool:
    """One's own, and admins everybody's: a task in common is easily made, by assigning one."""
    return actor.is_admin or actor.user_id == user_id


def may_delete_attachment(actor: Actor, task: TaskAccess, uploader_id: int) -> bool:
    """Who uploaded a file, the task's owner and admins delete it."""
    return actor.is_admin or actor.user_id in {task.owner_id, uploader_id}


def may_administer(actor: Actor) -> bool:
    """Admins manage accounts and read the audit log."""
    return actor.is_admin


def sees_all_analytics(actor: Actor) -> bool:
    """Admins see everyone's figures, others their own."""
    return actor.is_admin
