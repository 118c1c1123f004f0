"""Reminders and missed deadlines: told once each, late rather than never.

Each is claimed by an UPDATE in the transaction that records its event, so however many workers look, one tells it, and
one that dies in between leaves it to the next.
"""

from datetime import datetime
from typing import Final

from core import events, jobs
from core.db import read, unit_of_work, write
from core.errors import NotFound
from core.jobs import JobContext
from core.messages import msg
from core.policy import Actor
from core.representations import Listing, Representation
from core.services.notifications import OVERDUE, REMINDER, notify
from core.services.task_access import lock_task, require_readable

_BATCH: Final = 200

_REMINDER_JSON = """(SELECT row_to_json(fields) FROM (
    SELECT r.id, r.task_id, r.user_id, r.remind_at, r.seconds_before_due, r.fires_at, r.fired_at, r.created_at
) fields)"""

_CREATE = f"""
WITH r AS (
    INSERT INTO reminders (task_id, user_id, remind_at, seconds_before_due, fires_at)
    VALUES (%(task_id)s, %(user_id)s, %(remind_at)s, %(seconds_before_due)s,
            coalesce(%(remind_at)s, %(due_at)s::timestamptz - make_interval(secs => %(seconds_before_due)s)))
    RETURNING *)
SELECT r.id, {_REMINDER_JSON}::text FROM r
"""

_LIST = f"""
SELECT coalesce(json_agg({_REMINDER_JSON} ORDER BY r.fired_at IS NOT NULL, r.fires_at, r.id), '[]')::text
FROM reminders r WHERE r.task_id = %(task_id)s
"""

# A task that is done needs no reminding; its reminder is over all the same. Who is changing a task may be about to move
# its reminders, so they are left to the next look, and the task is held here for those that are claimed.
_CLAIM_REMINDERS = """
WITH due AS (SELECT r.id, t.status <> 'done' AS is_open FROM reminders r JOIN tasks t ON t.id = r.task_id
             WHERE r.fires_at <= now() AND r.fired_at IS NULL ORDER BY r.fires_at LIMIT %(limit)s
             FOR KEY SHARE OF t SKIP LOCKED FOR UPDATE OF r SKIP LOCKED)
UPDATE reminders r SET fired_at = now() FROM due WHERE r.id = due.id
RETURNING r.id, r.task_id, due.is_open
"""

_CLAIM_OVERDUE = """
WITH missed AS (SELECT id FROM tasks WHERE due_at <= now() AND status <> 'done' AND NOT overdue_told
                ORDER BY due_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
UPDATE tasks t SET overdue_told = true FROM missed WHERE t.id = missed.id
RETURNING t.id
"""

_HAS_DUE = """
SELECT EXISTS (SELECT FROM reminders WHERE fires_at <= now() AND fired_at IS NULL)
    OR EXISTS (SELECT FROM tasks WHERE due_at <= now() AND status <> 'done' AND NOT overdue_told)
"""


def create_reminder(
    actor: Actor, task_id: int, remind_at: datetime | None, seconds_before_due: int | None
) -> Representation:
    """Have a task's people reminded of it at a time, or so many seconds before its deadline, wherever that moves.

    Raises:
        NotFound, Forbidden: as `lock_task()` does.
    """
    with unit_of_work():
        task, _ = lock_task(actor, task_id)
        when = {"remind_at": remind_at, "seconds_before_due": seconds_before_due, "due_at": task.due_at}
        created = write(_CREATE, when | {"task_id": task_id, "user_id": actor.user_id}).fetch_exactly_one()
    return Representation(*created)


def list_reminders(actor: Actor, task_id: int) -> Listing:
    """The reminders of a task, the next one first, as a JSON array.

    Raises:
        NotFound, Forbidden: as `require_readable()` does.
    """
    require_readable(actor, task_id)
    return Listing(read(_LIST, {"task_id": task_id}).fetch_value())


def delete_reminder(actor: Actor, task_id: int, reminder_id: int) -> None:
    """Take a reminder back.

    Raises:
        NotFound, Forbidden: as `lock_task()` does; NotFound also where the task has no such reminder.
    """
    with unit_of_work():
        lock_task(actor, task_id)
        deleted = write("DELETE FROM reminders WHERE id = %s AND task_id = %s", (reminder_id, task_id)).count
        if not deleted:
            raise NotFound(msg("There is no such reminder."), code="reminder_not_found")


@jobs.REMINDERS_FIRE.work
def notify_of_due(_context: JobContext) -> int:
    """Notify of the reminders and the missed deadlines whose time has come; returns how many there were."""
    return fire_reminders() + tell_overdue()


@jobs.REMINDERS_FIRE.when
def has_due(_context: JobContext) -> bool:
    """Whether there are reminders or missed deadlines whose time has come."""
    return bool(read(_HAS_DUE).fetch_value())


def fire_reminders() -> int:
    """Tell of the reminders that are due, and answer of how many."""
    total = 0
    while True:
        with unit_of_work():
            claimed = write(_CLAIM_REMINDERS, {"limit": _BATCH}).fetch_all()
            for reminder_id, task_id, is_open in claimed:
                if is_open:
                    more = {"reminder": {"id": reminder_id}}
                    events.record_task(events.TASK_REMINDER, task_id, actor_id=None, more=more)
                    notify(REMINDER, task_id, None)
        total += len(claimed)
        if len(claimed) < _BATCH:
            return total


def tell_overdue() -> int:
    """Tell of the tasks that have just missed their deadlines, and answer of how many."""
    total = 0
    while True:
        with unit_of_work():
            claimed = write(_CLAIM_OVERDUE, {"limit": _BATCH}).fetch_all()
            for (task_id,) in claimed:
                events.record_task(events.TASK_OVERDUE, task_id, actor_id=None)
                notify(OVERDUE, task_id, None)
        total += len(claimed)
        if len(claimed) < _BATCH:
            return total
