"""Create, read, change and delete tasks."""

from collections.abc import Container, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NoReturn

import orjson

from core import events
from core.db import read, unit_of_one_statement, unit_of_work, write
from core.errors import FieldError, Forbidden, Invalid
from core.messages import msg
from core.models.group import GroupMember
from core.models.task import TASK_JSON, Task
from core.policy import Actor, may_assign_task, may_delete_task, may_read_task
from core.prepared import Prepared
from core.representations import Representation
from core.services import deadlines
from core.services.accounts import lock_active_account
from core.services.notifications import ASSIGNED, notify
from core.services.quotas import TASKS_ARE_FULL, exceeded
from core.services.task_access import ACCESS_COLUMNS, lock_task, task_access, task_forbidden, task_not_found
from core.services.task_places import (
    PLACE_ID,
    PLACE_IS_KNOWN,
    place_changes,
    require_place,
    weather_change,
    weather_request,
    without_coordinates,
)

_READ_TASK = Prepared(f"SELECT {TASK_JSON}::text, t.version, {ACCESS_COLUMNS} FROM tasks t WHERE t.id = %(task_id)s")

_LOCK_OWN_GROUP = """
SELECT FROM groups g WHERE id = %(group_id)s AND (%(is_admin)s OR EXISTS (
    SELECT FROM group_members WHERE group_id = g.id AND user_id = %(actor_id)s)) FOR KEY SHARE
"""

# A reminder that depends on the deadline moves with it. If its new time is in the future, it fires again.
_MOVE_REMINDERS = """
UPDATE reminders SET fires_at = moved, fired_at = CASE WHEN moved > now() THEN NULL ELSE fired_at END
FROM (SELECT id AS moved_id, %(due_at)s::timestamptz - make_interval(secs => seconds_before_due) AS moved
      FROM reminders WHERE task_id = %(task_id)s AND seconds_before_due IS NOT NULL) moves
WHERE id = moved_id
"""


# The statement keeps no history of the task, which is deleted together with the task.
_DELETE = Prepared(f"""
WITH t AS (DELETE FROM tasks WHERE id = %(task_id)s RETURNING *), {events.recording("t", keeps_history=False)}
""")

_DEFAULTS = Task.defaults()


def create_task(actor: Actor, fields: dict[str, Any], quota: int) -> Representation:
    """Create a task that the caller owns. A worker adds the weather later.

    Raises:
        Invalid: if the assignee is no active account, the caller does not belong to the group, there is no such place,
            or `due_at` contradicts `due_on`.
        TooLarge: if the caller owns `quota` tasks.
    """
    assignee_id, group_id = fields.get("assignee_id"), fields.get("group_id")
    if assignee_id is None and group_id is None and fields.get("latitude") is None:
        with unit_of_one_statement():
            created = _insert(actor, fields, quota)
        return created or _refuse(fields, quota)
    with unit_of_work():
        require_assignee(assignee_id)
        _require_own_group(actor, group_id)
        created = _insert(actor, fields, quota) or _refuse(fields, quota)
        if assignee_id is not None or group_id is not None:
            _notify_of_assignment(actor, created.id, assignee_id, group_id)
    return created


def _insert(actor: Actor, fields: dict[str, Any], quota: int) -> Representation | None:
    """Insert a task with its event and its history in one statement, unless its place is unknown or the quota full."""
    is_point = fields.get("latitude") is not None
    fields = without_coordinates(fields)
    computed = (
        _completion(fields.get("status", "todo"))
        | weather_request(fields.get("city"), fields.get("place_id"))
        | deadlines.of_new_task(fields, actor.zone)
    )
    values = _DEFAULTS | fields | computed | {"user_id": actor.user_id}
    parameters = _as_parameters(values) | {"quota": quota, "is_point": is_point}
    return events.record_by(
        _insertion(tuple(values)), events.TASK_CREATED, actor.user_id, changes={}, parameters=parameters
    )


def _refuse(fields: dict[str, Any], quota: int) -> NoReturn:
    """Raise why a task was not inserted."""
    require_place(fields.get("place_id"))
    raise exceeded(msg("You may have at most {quota} tasks. Delete some.", quota=quota))


@lru_cache
def _insertion(columns: tuple[str, ...]) -> Prepared:
    """Return the statement that inserts and records a task with values for these columns."""
    values = ", ".join(PLACE_ID if column == "place_id" else f"%({column})s" for column in columns)
    return Prepared(f"""
        WITH t AS (
            INSERT INTO tasks ({", ".join(columns)}) SELECT {values}
            WHERE NOT {TASKS_ARE_FULL} AND {PLACE_IS_KNOWN} RETURNING *),
        {events.recording("t")}""")


def read_task(actor: Actor, task_id: int) -> Representation:
    """Read a task, in one round trip.

    Raises:
        NotFound: if there is no such task.
        Forbidden: if the caller may not read it.
    """
    row = read(_READ_TASK, {"task_id": task_id, "actor_id": actor.user_id}).fetch_one()
    if row is None:
        raise task_not_found()
    json, version, *access = row
    if not may_read_task(actor, task_access(*access)):
        raise task_forbidden()
    return Representation(task_id, json, version)


def update_task(
    actor: Actor, task_id: int, changes: dict[str, Any], expected: Container[int] | None = None
) -> Representation:
    """Change fields of a task, if its version is one of `expected`. If no value changes, there is no new version.

    A change of `completed` is a change of the status: true means `done`, false means that the task is not done.

    Raises:
        NotFound, Forbidden, PreconditionFailed: as `lock_task()` raises them; Forbidden also if the caller may change
            the task, but not assign it.
        Invalid: if the assignee is no active account, the caller does not belong to the group, there is no such place,
            or `due_at` contradicts `due_on`.
    """
    with unit_of_work():
        task, access = lock_task(actor, task_id, expected)
        changes = place_changes(task, _with_status(task, changes))
        changes = {name: value for name, value in changes.items() if getattr(task, name) != value}
        changes |= deadlines.implied(task, changes)
        if not changes:
            return read_task(actor, task_id)
        assigned = {"assignee_id", "group_id"} & changes.keys()
        if assigned and not may_assign_task(actor, access):
            raise Forbidden(msg("Only the task's owner may assign it."), code="task_forbidden")
        require_assignee(changes.get("assignee_id"))
        _require_own_group(actor, changes.get("group_id"))
        values = changes | _completion_change(task, changes) | weather_change(task, changes)
        if "due_at" in changes or "completed_at" in values:
            values["overdue_told"] = False
        recorded = {name: (getattr(task, name), value) for name, value in changes.items()}
        updated = save(task_id, values, actor.user_id, recorded)
        if "due_at" in changes:
            move_reminders(task_id, changes["due_at"])
        record_lost_access(task, changes)
        if any(changes[name] is not None for name in assigned):
            _notify_of_assignment(actor, task_id, changes.get("assignee_id"), changes.get("group_id"))
    return updated


def delete_task(actor: Actor, task_id: int, expected: Container[int] | None = None) -> Representation:
    """Delete a task, if its version is one of `expected`; returns the task as it was.

    Raises:
        NotFound, Forbidden, PreconditionFailed: as `lock_task()` raises them; Forbidden also if the caller may change
            the task, but not delete it.
    """
    with unit_of_work():
        _, access = lock_task(actor, task_id, expected)
        if not may_delete_task(actor, access):
            raise Forbidden(msg("Only the task's owner may delete it."), code="task_forbidden")
        parameters = {"task_id": task_id}
        return _recorded(
            events.record_by(_DELETE, events.TASK_DELETED, actor.user_id, changes={}, parameters=parameters)
        )


def save(
    task_id: int,
    values: dict[str, Any],
    actor_id: int | None,
    changes: Mapping[str, events.Change],
    more: Mapping[str, Any] | None = None,
) -> Representation:
    """Write columns of a task whose row is locked, as its next version, and record it; returns the task.

    `changes` has the values of the changed fields before and after, for the history; `more` is what listeners get
    beside the task.
    """
    parameters = _as_parameters(values) | {"task_id": task_id, "updated_at": datetime.now(UTC)}
    statement = _update(tuple(values))
    return _recorded(
        events.record_by(statement, events.TASK_UPDATED, actor_id, changes=changes, parameters=parameters, more=more)
    )


def _as_parameters(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values of columns as psycopg2 takes them: an object, which is for a column of JSON, as its text."""
    return {name: orjson.dumps(value).decode() if isinstance(value, dict) else value for name, value in values.items()}


def move_reminders(task_id: int, due_at: datetime | None) -> None:
    """Move the reminders that depend on a task's deadline, in the running unit of work."""
    write(_MOVE_REMINDERS, {"task_id": task_id, "due_at": due_at})


@lru_cache
def _update(columns: tuple[str, ...]) -> Prepared:
    """Return the statement that changes and records a task with values for these columns."""
    values = {column: f"%({column})s" for column in (*columns, "updated_at")}
    if "city_key" in values:
        values["place_id"] = PLACE_ID
    assignments = ", ".join(f"{column} = {value}" for column, value in values.items())
    return Prepared(f"""
        WITH t AS (UPDATE tasks SET {assignments}, version = version + 1 WHERE id = %(task_id)s RETURNING *),
        {events.recording("t")}""")


def _recorded(representation: Representation | None) -> Representation:
    """Return what was recorded of a task whose row is locked, and which therefore exists."""
    if representation is None:
        raise LookupError("A task whose row is locked was not found.")
    return representation


def record_lost_access(task: Task, changes: Container[str]) -> None:
    """Record who may no longer read a task, after its assignee or its group was changed. `task` is as it was before."""
    losers = member_ids(task.group_id) if "group_id" in changes else []
    if "assignee_id" in changes and task.assignee_id is not None:
        losers.append(task.assignee_id)
    events.record_access_lost(losers)


def member_ids(group_id: int | None) -> list[int]:
    """Read the ids of a group's members; without a group there are none."""
    members = GroupMember.select(GroupMember.user_id).where(GroupMember.group_id == group_id)
    return [member.user_id for member in members.order_by(GroupMember.user_id)]


def require_assignee(user_id: int | None) -> None:
    """Require that an assignee is an active account; None, which means no assignee, is always allowed.

    Raises:
        Invalid: if there is no active account with this id.
    """
    if user_id is not None and not lock_active_account(user_id):
        raise Invalid([FieldError("assignee_id", msg("There is no active account with this id."))])


def _require_own_group(actor: Actor, group_id: int | None) -> None:
    """Require that the caller belongs to a group, and lock the group, so that it is not deleted in the meantime."""
    if group_id is None:
        return
    parameters = {"group_id": group_id, "actor_id": actor.user_id, "is_admin": actor.is_admin}
    if read(_LOCK_OWN_GROUP, parameters).fetch_one() is None:
        raise Invalid([FieldError("group_id", msg("You belong to no group with this id."))])


def _notify_of_assignment(actor: Actor, task_id: int, assignee_id: int | None, group_id: int | None) -> None:
    events.record_task(events.TASK_ASSIGNED, task_id, actor.user_id)
    to = member_ids(group_id) if assignee_id is None else [assignee_id]
    notify(ASSIGNED, task_id, actor.user_id, to=to)


def _with_status(task: Task, changes: dict[str, Any]) -> dict[str, Any]:
    """Replace `completed` by the change of the status that it means. False does not change a task that is not done."""
    others = {name: value for name, value in changes.items() if name != "completed"}
    if "completed" not in changes or changes["completed"] == (task.status == "done"):
        return others
    return others | {"status": "done" if changes["completed"] else "todo"}


def _completion(status: str) -> dict[str, Any]:
    return {"completed_at": datetime.now(UTC) if status == "done" else None}


def _completion_change(task: Task, changes: dict[str, Any]) -> dict[str, Any]:
    if "status" not in changes or (task.status == "done") == (changes["status"] == "done"):
        return {}
    return _completion(changes["status"])
