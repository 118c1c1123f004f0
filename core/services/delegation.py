"""Delegation: passing a task on to another account, with a record of it."""

from collections.abc import Container

from core import events
from core.db import unit_of_work
from core.errors import FieldError, Forbidden, Invalid
from core.messages import msg
from core.models.collaboration import Delegation
from core.policy import Actor, may_delegate_task
from core.representations import Listing, Representation, fetch_listing, listing_statement
from core.services.notifications import DELEGATED, notify
from core.services.task_access import lock_task, require_readable
from core.services.tasks import record_lost_access, require_assignee, save

_OF_TASK = listing_statement(Delegation, where="task_id = %(task_id)s", order="id")


def delegate_task(
    actor: Actor, task_id: int, assignee_id: int, note: str | None, expected: Container[int] | None = None
) -> Representation:
    """Pass a task on to somebody else; returns the task.

    Raises:
        NotFound, Forbidden, PreconditionFailed: as `lock_task()` raises them; Forbidden also if the caller is
            neither the assignee nor may assign the task.
        Invalid: if the new assignee is no active account, or is the assignee already.
    """
    with unit_of_work():
        task, access = lock_task(actor, task_id, expected)
        if not may_delegate_task(actor, access):
            raise Forbidden(msg("Only who has a task, or may assign it, passes it on."), code="task_forbidden")
        require_assignee(assignee_id)
        if task.assignee_id == assignee_id:
            raise Invalid([FieldError("assignee_id", msg("has the task already"))])
        save(task_id, {"assignee_id": assignee_id})
        Delegation.insert(
            task_id=task_id, actor_id=actor.user_id, from_id=task.assignee_id, to_id=assignee_id, note=note
        ).execute()
        changes = {"assignee_id": (task.assignee_id, assignee_id)}
        updated = events.record_task(events.TASK_UPDATED, task_id, actor.user_id, changes=changes)
        more = {"delegation": {"from_id": task.assignee_id, "to_id": assignee_id, "note": note}}
        events.record_task(events.TASK_DELEGATED, task_id, actor.user_id, changes=changes, more=more)
        record_lost_access(task, changes)
        notify(DELEGATED, task_id, actor.user_id, to=[assignee_id], said=note)
    return updated


def list_delegations(actor: Actor, task_id: int) -> Listing:
    """Read who passed a task on to whom, the oldest delegation first.

    Raises:
        NotFound, Forbidden: as `require_readable()` raises them.
    """
    require_readable(actor, task_id)
    return fetch_listing(_OF_TASK, task_id=task_id)
