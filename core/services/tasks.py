"""What one can do with tasks: create, read, list, change and delete them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from core import events
from core.db import fetch_one, unit_of_work
from core.errors import FieldError, Forbidden, Invalid, NotFound
from core.messages import msg
from core.models import Task, User
from core.models.task import PRIORITIES, STATUSES, TASK_JSON
from core.policy import (
    Actor,
    TaskAccess,
    may_assign_task,
    may_delete_task,
    may_read_task,
    may_update_task,
)
from core.weather import city_key

_READ_TASK = f"SELECT {TASK_JSON}::text, t.user_id, t.assignee_id FROM tasks t WHERE t.id = %(task_id)s"

_READ_ACCESS = "SELECT t.user_id, t.assignee_id FROM tasks t WHERE t.id = %(task_id)s"
# Nobody deletes the task, or gives it away, before the running unit of work has ended.
_HOLD_ACCESS = f"{_READ_ACCESS} FOR SHARE"

_CONDITIONS: Final = {
    "status": "t.status = ANY(%(status)s)",
    "priority": "t.priority = ANY(%(priority)s)",
    "user_id": "t.user_id = %(user_id)s",
    "assignee_id": "t.assignee_id = %(assignee_id)s",
    "city_key": "t.city_key = %(city_key)s",
    "created_from": "t.created_at >= %(created_from)s",
    "created_before": "t.created_at < %(created_before)s",
    "due_from": "t.due_at >= %(due_from)s",
    "due_before": "t.due_at < %(due_before)s",
}


def _rank(column: str, values: tuple[str, ...]) -> str:
    return f"array_position(ARRAY[{', '.join(repr(value) for value in values)}], {column}::text)"


_SORT_KEYS: Final = {
    "id": "t.id",
    "title": "t.title",
    "status": _rank("t.status", STATUSES),
    "priority": _rank("t.priority", PRIORITIES),
    "due_at": "t.due_at",
    "created_at": "t.created_at",
    "updated_at": "t.updated_at",
}
SORTABLE: Final = tuple(_SORT_KEYS)


@dataclass(frozen=True, slots=True)
class SortKey:
    """One column to sort by; rows without a value come last either way."""

    name: str
    descending: bool = False


NEWEST_FIRST: Final = (SortKey("created_at", descending=True),)


@dataclass(frozen=True, slots=True)
class TaskQuery:
    """Which tasks, in which order, and which page of them. `filters` holds values by the names of `_CONDITIONS`."""

    filters: dict[str, Any] = field(default_factory=dict)
    sort: tuple[SortKey, ...] = NEWEST_FIRST
    skip: int = 0
    limit: int = 100


@dataclass(frozen=True, slots=True)
class TaskPage:
    """One page: the JSON array of its tasks, and how many there are on all pages."""

    items: str
    total: int


def create_task(actor: Actor, fields: dict[str, Any]) -> tuple[int, str]:
    """Create a task of the caller and answer its id and its JSON. Its weather comes later, from a worker."""
    with unit_of_work():
        _require_assignee(fields.get("assignee_id"))
        values = fields | _completion(fields.get("status", "todo")) | _weather_request(fields.get("city"))
        task_id = Task.insert(user_id=actor.user_id, **values).execute()
        recorded = events.record_task(events.TASK_CREATED, task_id, actor.user_id)
        if fields.get("assignee_id") is not None:
            events.record_task(events.TASK_ASSIGNED, task_id, actor.user_id)
    return task_id, recorded


def read_task(actor: Actor, task_id: int) -> str:
    """Answer a task's JSON, in one round trip."""
    row = fetch_one(_READ_TASK, {"task_id": task_id})
    if row is None:
        raise _not_found()
    document, owner_id, assignee_id = row
    if not may_read_task(actor, TaskAccess(owner_id, assignee_id)):
        raise _forbidden()
    return str(document)


def require_access(
    actor: Actor, task_id: int, allowed: Callable[[Actor, TaskAccess], bool], *, hold: bool = False
) -> TaskAccess:
    """Answer whose a task is; for what belongs to it. With `hold` that stays so until the unit of work ends.

    Raises:
        NotFound: where there is no such task.
        Forbidden: where the rule does not allow the caller what it is about.
    """
    row = fetch_one(_HOLD_ACCESS if hold else _READ_ACCESS, {"task_id": task_id})
    if row is None:
        raise _not_found()
    access = TaskAccess(*row)
    if not allowed(actor, access):
        raise _forbidden()
    return access


def list_tasks(actor: Actor, query: TaskQuery) -> TaskPage:
    """Answer a page of the tasks that the caller may read, with the total, in one round trip."""
    sql = _list_sql(tuple(sorted(query.filters)), query.sort, is_admin=actor.is_admin)
    parameters = query.filters | {"actor_id": actor.user_id, "skip": query.skip, "limit": query.limit}
    row = fetch_one(sql, parameters)
    assert row is not None  # noqa: S101 - a select of two aggregates has exactly one row.
    return TaskPage(items=row[0], total=row[1])


def update_task(actor: Actor, task_id: int, changes: dict[str, Any]) -> str:
    """Change the named fields and answer the task's JSON. What changes nothing leaves no version and no event."""
    with unit_of_work():
        task = _locked(actor, task_id)
        changes = {name: value for name, value in changes.items() if getattr(task, name) != value}
        if not changes:
            return _document(task_id)
        if "assignee_id" in changes:
            if not may_assign_task(actor, _access(task)):
                raise Forbidden(msg("Only the task's owner may assign it."), code="task_forbidden")
            _require_assignee(changes["assignee_id"])
        values = changes | _completion_change(task, changes) | _weather_change(task, changes)
        Task.update(values | {"updated_at": datetime.now(UTC), "version": Task.version + 1}).where(
            Task.id == task_id
        ).execute()
        recorded = events.record_task(events.TASK_UPDATED, task_id, actor.user_id)
        if changes.get("assignee_id") is not None:
            events.record_task(events.TASK_ASSIGNED, task_id, actor.user_id)
    return recorded


def delete_task(actor: Actor, task_id: int) -> str:
    """Delete a task and answer its last JSON."""
    with unit_of_work():
        task = _locked(actor, task_id)
        if not may_delete_task(actor, _access(task)):
            raise Forbidden(msg("Only the task's owner may delete it."), code="task_forbidden")
        recorded = events.record_task(events.TASK_DELETED, task_id, actor.user_id)
        Task.delete().where(Task.id == task_id).execute()
    return recorded


@lru_cache(maxsize=512)
def _list_sql(filters: tuple[str, ...], sort: tuple[SortKey, ...], *, is_admin: bool) -> str:
    where = " AND ".join([Task.visible_to(is_admin=is_admin), *(_CONDITIONS[name] for name in filters)])
    order = ", ".join(
        f"{_SORT_KEYS[key.name]} {'DESC' if key.descending else 'ASC'} NULLS LAST" for key in (*sort, _tie_break(sort))
    )
    return f"""
        SELECT coalesce((SELECT json_agg({TASK_JSON}) FROM (
                   SELECT * FROM tasks t WHERE {where} ORDER BY {order} OFFSET %(skip)s LIMIT %(limit)s
               ) t), '[]')::text,
               (SELECT count(*) FROM tasks t WHERE {where})
    """


def _tie_break(sort: tuple[SortKey, ...]) -> SortKey:
    return SortKey("id", descending=sort[-1].descending)


def _locked(actor: Actor, task_id: int) -> Task:
    """Lock a task's row for the running unit of work, if the caller may change it."""
    task: Task | None = Task.select().where(Task.id == task_id).for_update().get_or_none()
    if task is None:
        raise _not_found()
    if not may_update_task(actor, _access(task)):
        raise _forbidden()
    return task


def _document(task_id: int) -> str:
    row = fetch_one(_READ_TASK, {"task_id": task_id})
    assert row is not None  # noqa: S101 - the caller holds the row's lock.
    return str(row[0])


def _access(task: Task) -> TaskAccess:
    return TaskAccess(task.user_id, task.assignee_id)


def _require_assignee(user_id: int | None) -> None:
    if user_id is not None and not User.select().where(User.id == user_id, User.is_active).exists():
        raise Invalid([FieldError("assignee_id", msg("There is no active account with this id."))])


def _completion(status: str) -> dict[str, Any]:
    return {"completed_at": datetime.now(UTC) if status == "done" else None}


def _completion_change(task: Task, changes: dict[str, Any]) -> dict[str, Any]:
    if "status" not in changes or (task.status == "done") == (changes["status"] == "done"):
        return {}
    return _completion(changes["status"])


def _weather_request(city: str | None) -> dict[str, Any]:
    """The columns of a task whose city is new: no weather yet, and a worker asked for it from now on."""
    return {
        "city_key": None if city is None else city_key(city),
        "weather": None,
        "weather_status": None if city is None else "pending",
        "weather_attempts": 0,
        "weather_next_attempt_at": None if city is None else datetime.now(UTC),
    }


def _weather_change(task: Task, changes: dict[str, Any]) -> dict[str, Any]:
    if "city" not in changes:
        return {}
    city = changes["city"]
    if city is not None and city_key(city) == task.city_key:
        return {}
    return _weather_request(city)


def _not_found() -> NotFound:
    return NotFound(msg("There is no such task."), code="task_not_found")


def _forbidden() -> Forbidden:
    return Forbidden(msg("This task belongs to someone else."), code="task_forbidden")
