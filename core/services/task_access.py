"""Which task somebody means, and what they may do with it: the gate before every use case of a task."""

from collections.abc import Callable, Container

from core.db import read
from core.errors import Forbidden, NotFound, PreconditionFailed
from core.messages import msg
from core.models import Task
from core.policy import Actor, TaskAccess, may_read_task, may_update_task

# What permission depends on, in SQL over `tasks t` and the parameter `actor_id`.
ACCESS_COLUMNS = """t.user_id, t.assignee_id, (
    SELECT is_manager FROM group_members m WHERE m.group_id = t.group_id AND m.user_id = %(actor_id)s)"""

_ACCESS = f"SELECT {ACCESS_COLUMNS} FROM tasks t WHERE t.id = %(task_id)s"
_PLACE_IN_GROUP = "SELECT is_manager FROM group_members WHERE group_id = %(group_id)s AND user_id = %(actor_id)s"
_HOLD_ACCESS = f"{_ACCESS} FOR SHARE OF t"


def task_access(owner_id: int, assignee_id: int | None, is_manager: bool | None) -> TaskAccess:
    """What the values of `ACCESS_COLUMNS` mean."""
    return TaskAccess(owner_id, assignee_id, in_group=is_manager is not None, manages_group=bool(is_manager))


def require_access(
    actor: Actor, task_id: int, allowed: Callable[[Actor, TaskAccess], bool], *, hold: bool = False
) -> TaskAccess:
    """Tell what the caller may do with a task, if the rule allows what this is about.

    With `hold` nobody deletes the task, or gives it away, before the running unit of work has ended.

    Raises:
        NotFound: where there is no such task.
        Forbidden: where the rule does not allow it.
    """
    row = read(_HOLD_ACCESS if hold else _ACCESS, {"task_id": task_id, "actor_id": actor.user_id}).fetch_one()
    if row is None:
        raise task_not_found()
    access = task_access(*row)
    if not allowed(actor, access):
        raise task_forbidden()
    return access


def require_readable(actor: Actor, task_id: int) -> TaskAccess:
    """Tell what the caller may do with a task that they may read; raises as `require_access()` does."""
    return require_access(actor, task_id, may_read_task)


def lock_task(actor: Actor, task_id: int, expected: Container[int] | None = None) -> tuple[Task, TaskAccess]:
    """Lock a task's row for the running unit of work, if the caller may change it.

    Raises:
        NotFound: where there is no such task.
        Forbidden: where the caller may not change it.
        PreconditionFailed: where its version is none of those `expected`.
    """
    task: Task | None = Task.select().where(Task.id == task_id).for_update().get_or_none()
    if task is None:
        raise task_not_found()
    access = task_access(task.user_id, task.assignee_id, _place_in_group(actor, task.group_id))
    if not may_update_task(actor, access):
        raise task_forbidden()
    if expected is not None and task.version not in expected:
        raise PreconditionFailed(msg("The task has changed since you last saw it."), code="version_mismatch")
    return task, access


def _place_in_group(actor: Actor, group_id: int | None) -> bool | None:
    """Whether the caller manages the group; None where there is no group, or the caller does not belong to it."""
    if group_id is None:
        return None
    row = read(_PLACE_IN_GROUP, {"group_id": group_id, "actor_id": actor.user_id}).fetch_one()
    return None if row is None else bool(row[0])


def task_not_found() -> NotFound:
    """The failure where there is no such task."""
    return NotFound(msg("There is no such task."), code="task_not_found")


def task_forbidden() -> Forbidden:
    """The failure where a task is not the caller's to see."""
    return Forbidden(msg("This task belongs to someone else."), code="task_forbidden")
