"""Reminders and missed deadlines: people are notified of each exactly once, even if the workers were down in between.

Each one is claimed by an UPDATE in the transaction that records its event. So only one of several workers notifies
people of it. If that worker dies before the commit, the claim is rolled back and another worker finds it.
"""

from datetime import datetime, timedelta
from typing import Final

from core import events, jobs
from core.db import read, unit_of_work, write
from core.errors import NotFound
from core.jobs import JobContext
from core.messages import msg
from core.models.collaboration import Reminder
from core.models.task import Task
from core.policy import Actor
from core.representations import Listing, Representation, fetch_listing, listing_statement, write_one
from core.services.notifications import OVERDUE, REMINDER, notify
from core.services.task_access import lock_task, require_readable

_BATCH: Final = 200

# Reminders that have not fired yet come first, the next one at the top.
_OF_TASK = listing_statement(Reminder, where="task_id = %(task_id)s", order="fired_at IS NOT NULL, fires_at, id")

# The reminder of a task that is done is claimed too, but nobody is notified. A task that is being changed right now may
# get another deadline, which moves its reminders, so it is skipped until the next run. The tasks of the claimed
# reminders are locked, so that they cannot be changed before this is committed.
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
    """Create a reminder of a task, at a fixed time or some seconds before its deadline.

    If the deadline changes, a reminder that depends on it moves too.

    Raises:
        NotFound, Forbidden: as `lock_task()` raises them.
    """
    with unit_of_work():
        task, _ = lock_task(actor, task_id)
        return write_one(
            Reminder.insert(
                task_id=task_id,
                user_id=actor.user_id,
                remind_at=remind_at,
                seconds_before_due=seconds_before_due,
                fires_at=remind_at if seconds_before_due is None else _before_deadline(task, seconds_before_due),
            )
        )


def list_reminders(actor: Actor, task_id: int) -> Listing:
    """Read the reminders of a task, the next one first.

    Raises:
        NotFound, Forbidden: as `require_readable()` raises them.
    """
    require_readable(actor, task_id)
    return fetch_listing(_OF_TASK, task_id=task_id)


def delete_reminder(actor: Actor, task_id: int, reminder_id: int) -> None:
    """Delete a reminder.

    Raises:
        NotFound, Forbidden: as `lock_task()` raises them; NotFound also if the task has no such reminder.
    """
    with unit_of_work():
        lock_task(actor, task_id)
        if not Reminder.delete().where(Reminder.id == reminder_id, Reminder.task_id == task_id).execute():
            raise NotFound(msg("There is no such reminder."), code="reminder_not_found")


@jobs.REMINDERS_FIRE.work
def notify_of_due(_context: JobContext) -> int:
    """Notify people of due reminders and missed deadlines; returns how many there were."""
    return fire_reminders() + notify_overdue()


@jobs.REMINDERS_FIRE.when
def has_due(_context: JobContext) -> bool:
    """Whether there are due reminders or missed deadlines."""
    return bool(read(_HAS_DUE).fetch_value())


def _before_deadline(task: Task, seconds: int) -> datetime | None:
    return None if task.due_at is None else task.due_at - timedelta(seconds=seconds)


def fire_reminders() -> int:
    """Notify people of the reminders that are due; returns how many there were."""
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


def notify_overdue() -> int:
    """Notify people of the tasks that have become overdue since the last run; returns how many there were."""
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
