"""Passing a task on, with a trail of who gave it to whom."""

from collections.abc import Container

from core import events
from core.db import read, unit_of_work, write
from core.errors import FieldError, Forbidden, Invalid
from core.messages import msg
from core.policy import Actor, may_delegate_task
from core.representations import Listing, Representation
from core.services.notifications import DELEGATED, notify
from core.services.task_access import lock_task, require_readable
from core.services.tasks import require_assignee, save

_RECORD = """
INSERT INTO delegations (task_id, actor_id, from_id, to_id, note)
VALUES (%(task_id)s, %(actor_id)s, %(from_id)s, %(to_id)s, %(note)s)
RETURNING id
"""

_TRAIL = """
SELECT coalesce(json_agg(trail ORDER BY trail.id), '[]')::text FROM (
    SELECT id, actor_id, from_id, to_id, note, created_at FROM delegations WHERE task_id = %(task_id)s
) trail
"""


def delegate_task(
    actor: Actor, task_id: int, assignee_id: int, note: str | None, expected: Container[int] | None = None
) -> Representation:
    """Pass a task on to somebody else, and answer the task.

    Raises:
        NotFound, Forbidden, PreconditionFailed: as `lock_task()` does; Forbidden also for who neither has the task nor
            may assign it.
        Invalid: where the assignee is no active account, or has the task already.
    """
    with unit_of_work():
        task, access = lock_task(actor, task_id, expected)
        if not may_delegate_task(actor, access):
            raise Forbidden(msg("Only who has a task, or may assign it, passes it on."), code="task_forbidden")
        require_assignee(assignee_id)
        if task.assignee_id == assignee_id:
            raise Invalid([FieldError("assignee_id", msg("has the task already"))])
        save(task_id, {"assignee_id": assignee_id})
        passed = {"task_id": task_id, "actor_id": actor.user_id, "from_id": task.assignee_id, "to_id": assignee_id}
        write(_RECORD, passed | {"note": note})
        changes = {"assignee_id": (task.assignee_id, assignee_id)}
        updated = events.record_task(events.TASK_UPDATED, task_id, actor.user_id, changes=changes)
        more = {"delegation": {"from_id": task.assignee_id, "to_id": assignee_id, "note": note}}
        events.record_task(events.TASK_DELEGATED, task_id, actor.user_id, changes=changes, more=more)
        notify(DELEGATED, task_id, actor.user_id, to=[assignee_id], said=note)
    return updated


def list_delegations(actor: Actor, task_id: int) -> Listing:
    """The trail of a task, the oldest step first, as a JSON array.

    Raises:
        NotFound, Forbidden: as `require_readable()` does.
    """
    require_readable(actor, task_id)
    return Listing(read(_TRAIL, {"task_id": task_id}).fetch_value())
