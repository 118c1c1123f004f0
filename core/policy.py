"""Who may do what: pure functions over plain values, no database.

`Task.visible_to()` says the same as `may_read_task()` in SQL, for lists; a test holds the two against each other.
"""

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What an account may be."""

    USER = "user"
    MANAGER = "manager"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who is calling: an account and the session that its token stands for."""

    user_id: int
    role: Role
    session_id: int

    @property
    def is_admin(self) -> bool:
        """Whether everything is open to this account."""
        return self.role is Role.ADMIN


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


def sees_all_analytics(actor: Actor) -> bool:
    """Admins see everyone's figures, others their own."""
    return actor.is_admin
