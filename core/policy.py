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
    """The columns of a task on which permission depends."""

    owner_id: int
    assignee_id: int | None


def may_read_task(actor: Actor, task: TaskAccess) -> bool:
    """Owner, assignee and admins read a task."""
    return actor.is_admin or actor.user_id in {task.owner_id, task.assignee_id}


def may_update_task(actor: Actor, task: TaskAccess) -> bool:
    """Who reads a task may also work on it."""
    return may_read_task(actor, task)


def may_assign_task(actor: Actor, task: TaskAccess) -> bool:
    """Only the owner and admins say who works on a task."""
    return actor.is_admin or actor.user_id == task.owner_id


def may_delete_task(actor: Actor, task: TaskAccess) -> bool:
    """Only the owner and admins delete a task."""
    return actor.is_admin or actor.user_id == task.owner_id


def may_delete_attachment(actor: Actor, task: TaskAccess, uploader_id: int) -> bool:
    """Who uploaded a file, the task's owner and admins delete it."""
    return actor.is_admin or actor.user_id in {task.owner_id, uploader_id}


def may_administer(actor: Actor) -> bool:
    """Admins manage accounts and read the audit log."""
    return actor.is_admin


def sees_all_analytics(actor: Actor) -> bool:
    """Admins see everyone's figures, others their own."""
    return actor.is_admin
