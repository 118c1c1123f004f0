"""Find a task and check what the caller may do with it; every use case of a task begins with this."""

from collections.abc import Callable, Container

from core.db import read
from core.errors import Forbidden, NotFound, PreconditionFailed
from core.messages import msg
from core.models.task import Task
from core.policy import Actor, TaskAccess, may_read_task, may_update_task
from core.prepared import Prepared

# What the permission depends on, in SQL over `tasks t` and the parameter `actor_id`.
ACCESS_COLUMNS = """t.user_id, t.assignee_id, (
    SELECT is_manager FROM group_members m WHERE m.group_id = t.group_id AND m.user_id = %(actor_id)s)"""

_FROM = f"{ACCESS_COLUMNS} FROM tasks t WHERE t.id = %(task_id)s"
_ACCESS = Prepared(f"SELECT {_FROM}")
_ACCESS_LOCKED = Prepared(f"SELECT {_FROM} FOR SHARE OF t")
_COLUMNS = Task.columns()
_LOCK = Prepared(f"SELECT {', '.join(f't.{column}' for column in _COLUMNS)}, {_FROM} FOR UPDATE OF t")


def task_access(owner_id: int, assignee_id: int | None, is_manager: bool | None) -> TaskAccess:
    """Make the access from the values of `ACCESS_COLUMNS`."""
    return TaskAccess(owner_id, assignee_id, in_group=is_manager is not None, manages_group=bool(is_manager))


def require_access(
    actor: Actor, task_id: int, allowed: Callable[[Actor, TaskAccess], bool], *, lock: bool = False
) -> TaskAccess:
    """Return what the permissions of a task depend on, if the rule `allowed` holds for the caller.

    With `lock` the task cannot be deleted or reassigned until the running unit of work has ended.

    Raises:
        NotFound: if there is no such task.
        Forbidden: if the rule does not hold.
    """
    row = read(_ACCESS_LOCKED if lock else _ACCESS, {"task_id": task_id, "actor_id": actor.user_id}).fetch_one()
    if row is None:
        raise task_not_found()
    access = task_access(*row)
    if not allowed(actor, access):
        raise task_forbidden()
    return access


def require_readable(actor: Actor, task_id: int) -> TaskAccess:
    """Return what the permissions of a task depend on, if the caller may read it; raises as `require_access()` does."""
    return require_access(actor, task_id, may_read_task)


def lock_task(actor: Actor, task_id: int, expected: Container[int] | None = None) -> tuple[Task, TaskAccess]:
    """Lock a task's row for the running unit of work, if the caller may change it.

    Raises:
        NotFound: if there is no such task.
        Forbidden: if the caller may not change it.
        PreconditionFailed: if its version is not one of `expected`.
    """
    row = read(_LOCK, {"task_id": task_id, "actor_id": actor.user_id}).fetch_one()
    if row is None:
        raise task_not_found()
    *values, owner_id, assignee_id, is_manager = row
    task = Task(**dict(zip(_COLUMNS, values, strict=True)))
    access = task_access(owner_id, assignee_id, is_manager)
    if not may_update_task(actor, access):
        raise task_forbidden()
    if expected is not None and task.version not in expected:
        raise PreconditionFailed(msg("The task has changed since you last saw it."), code="version_mismatch")
    return task, access


def task_not_found() -> NotFound:
    """Return the failure for a task that does not exist."""
    return NotFound(msg("There is no such task."), code="task_not_found")


def task_forbidden() -> Forbidden:
    """Return the failure for a task that the caller may not see."""
    return Forbidden(msg("This task belongs to someone else."), code="task_forbidden")
