"""The event log: the only way in which other processes and listeners are informed of a change.

A change records its event in its own transaction. Later a worker gives the event its number (`seq`) and publishes it to
a Redis stream (see `core.services.publication`). Until then the row without a number keeps the event from being lost.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import orjson
import structlog

from core.db import after_commit, read, write
from core.log_context import log_context
from core.models.task import TASK_JSON, Task
from core.policy import Actor
from core.prepared import Prepared
from core.representations import Representation

log = structlog.get_logger()

TASK_CREATED: Final = "task.created"
TASK_UPDATED: Final = "task.updated"
TASK_DELETED: Final = "task.deleted"
TASK_ENRICHED: Final = "task.enriched"
TASK_FORECAST_CHANGED: Final = "task.forecast_changed"
TASK_ASSIGNED: Final = "task.assigned"
TASK_DELEGATED: Final = "task.delegated"
TASK_COMMENTED: Final = "task.commented"
TASK_REMINDER: Final = "task.reminder"
TASK_OVERDUE: Final = "task.overdue"
TASK_WEATHER_WARNED: Final = "task.weather_warned"
TASK_WEATHER_CLEARED: Final = "task.weather_cleared"
TASK_ATTACHED: Final = "task.attached"
TASK_DETACHED: Final = "task.detached"
NOTIFICATION_CREATED: Final = "notification.created"
SESSIONS_REVOKED: Final = "sessions.revoked"
ACCESS_LOST: Final = "access.lost"
ACCOUNT_MAIL_QUEUED: Final = "account_mail.queued"

# Events of these types are for the application itself and are not sent to listeners.
INTERNAL_TYPES: Final = frozenset({SESSIONS_REVOKED, ACCESS_LOST, ACCOUNT_MAIL_QUEUED})
# Events of these types go to their audience only. All other events go to admins too.
PRIVATE_TYPES: Final = frozenset({NOTIFICATION_CREATED})

STREAM_KEY: Final = "allweather:events"

_AUDIENCE = """ARRAY(SELECT t.user_id UNION SELECT t.assignee_id WHERE t.assignee_id IS NOT NULL
    UNION SELECT user_id FROM group_members WHERE group_id = t.group_id ORDER BY 1)"""


def recording(tasks: str, *, keeps_history: bool = True, more: str = "%(more)s") -> str:
    """Return the end of a statement that records what happened to the tasks `t` of the FROM list `tasks`.

    It follows a `WITH`, or the comma after another part of one, and returns the id, the form for clients and the
    version of each task. Its parameters are those of `record_by()`. Without `keeps_history` nothing is written to the
    history of the tasks, which is needed if the same statement deletes them. `more` is the SQL of what each event
    contains in addition to the task, as the parameter `more` of `record_by()`.
    """
    # `more` is a JSON object; its members follow those of the task.
    event = f"""
    recorded AS (SELECT t.id, t.version, {TASK_JSON}::text AS document, {_AUDIENCE} AS audience,
                        {more}::text AS more FROM {tasks}),
    event AS (INSERT INTO events (type, task_id, actor_id, audience, request_id, data)
              SELECT %(type)s, id, %(actor_id)s, audience, %(request_id)s,
                     coalesce(left(document, -1) || ',' || substr(more, 2), document)::json
              FROM recorded)"""
    history = """,
    history AS (INSERT INTO task_activity (task_id, type, actor_id, changes)
                SELECT id, %(type)s, %(actor_id)s, %(changes)s FROM recorded)"""
    return f"{event}{history if keeps_history else ''} SELECT id, document, version FROM recorded"


_RECORD_TASK = Prepared(f"WITH {recording('tasks t WHERE t.id = %(task_id)s')}")

_RECORD_TASKS: Final = f"WITH {recording('tasks t WHERE t.id = ANY(%(task_ids)s)')}"

_RECORD = """
INSERT INTO events (type, actor_id, audience, request_id, data)
VALUES (%(type)s, %(actor_id)s, %(audience)s, %(request_id)s, %(data)s)
"""

# A page of the log. `concerned.id` is the task that an event is about, also that of a notification, and `t` is that
# task. A deleted task counts as it was when it was deleted, so that its readers get the event of the deletion.
_PAGE = """
FROM (SELECT * FROM events WHERE seq > %(since)s ORDER BY seq LIMIT %(limit)s) e
CROSS JOIN LATERAL (SELECT coalesce(e.task_id, (e.data->>'task_id')::bigint) AS id) concerned
LEFT JOIN LATERAL (
    SELECT user_id, assignee_id, group_id FROM tasks WHERE id = concerned.id
    UNION ALL
    SELECT (data->>'user_id')::bigint, (data->>'assignee_id')::bigint, (data->>'group_id')::bigint
    FROM events WHERE task_id = concerned.id AND type = 'task.deleted'
) t ON true
ORDER BY e.seq
"""
_AT = "to_json(e.at)#>>'{}'"

_READ_SINCE = Prepared(f"""
SELECT e.seq, e.type, e.task_id, e.actor_id,
       CASE WHEN concerned.id IS NULL THEN e.audience
            ELSE ARRAY(SELECT reader.id FROM unnest(e.audience) reader (id)
                       WHERE {Task.visible_to(reader="reader.id")}) END,
       {_AT}, e.request_id, e.data::text
{_PAGE}
""")

_READ_MISSED = f"""
SELECT e.seq, e.type, e.task_id, e.actor_id, {_AT}, e.request_id,
       CASE WHEN e.type = ANY(%(internal)s) THEN NULL
            WHEN %(is_admin)s AND e.type <> ALL(%(private)s) THEN e.data::text
            WHEN %(actor_id)s = ANY(e.audience)
                 AND (%(is_admin)s OR concerned.id IS NULL OR {Task.visible_to()}) THEN e.data::text END
{_PAGE}
"""

_BOUNDS = Prepared("""
SELECT state.last_seq, coalesce((SELECT min(seq) FROM events), state.last_seq + 1) FROM event_log_state state
""")

Change = tuple[Any, Any]
"""The value of a field before and after."""

_callbacks: list[Callable[[], object]] = []
_is_logged: Final = ContextVar("is_logged", default=True)


@dataclass(frozen=True, slots=True)
class Event:
    """A published event. `data` stays JSON text, since no code between the database and the listener reads it."""

    seq: int
    type: str
    task_id: int | None
    actor_id: int | None
    audience: tuple[int, ...]
    at: str
    request_id: str | None
    data: str

    def frame(self) -> str:
        """The JSON text that listeners receive."""
        head = orjson.dumps(
            {
                "seq": self.seq,
                "type": self.type,
                "task_id": self.task_id,
                "actor_id": self.actor_id,
                "at": self.at,
            }
        ).decode()
        return f'{head[:-1]},"data":{self.data}}}'


@dataclass(frozen=True, slots=True)
class Bounds:
    """The numbers in the log: the last one that was given, and the oldest one that is still kept."""

    last: int
    oldest: int


def on_recorded(callback: Callable[[], object]) -> Callable[[], None]:
    """Call `callback` whenever events have been committed, in the thread that committed them.

    Returns a function that stops this.
    """
    _callbacks.append(callback)
    return lambda: _callbacks.remove(callback)


@contextmanager
def without_log_lines() -> Iterator[None]:
    """Write no line into the log for the events that are recorded in this block; the caller logs them all in one."""
    token = _is_logged.set(False)
    try:
        yield
    finally:
        _is_logged.reset(token)


def _log_change(**described: object) -> None:
    if _is_logged.get():
        after_commit(partial(log.info, "change", **described))


def _call_callbacks() -> None:
    for callback in _callbacks:
        callback()


def record_task(
    kind: str,
    task_id: int,
    actor_id: int | None,
    *,
    changes: Mapping[str, Change] | None = None,
    more: Mapping[str, Any] | None = None,
) -> Representation:
    """Record what happened to a task, in the running unit of work; returns the task as recorded.

    The event contains the task as it is now, and is sent to those who may read the task now. `changes` (by field name)
    is written to the task's history; `more` is sent to listeners in addition to the task's own fields.
    """
    recorded = record_by(
        _RECORD_TASK, kind, actor_id, changes=changes or {}, more=more, parameters={"task_id": task_id}
    )
    if recorded is None:
        raise LookupError(f"There is no task {task_id} whose change could be recorded.")
    return recorded


def record_by(
    statement: Prepared,
    kind: str,
    actor_id: int | None,
    *,
    changes: Mapping[str, Change],
    parameters: Mapping[str, Any],
    more: Mapping[str, Any] | None = None,
) -> Representation | None:
    """Record what happened to a task, by a statement that ends with `recording()` and may also make the change itself.

    The arguments are those of `record_task()`, and `parameters` has the other parameters of the statement. Returns the
    task as recorded, or None if the statement found none.
    """
    recorded = {name: {"from": before, "to": after} for name, (before, after) in changes.items()}
    values = {
        "type": kind,
        "actor_id": actor_id,
        "request_id": _request_id(),
        "changes": orjson.dumps(recorded).decode(),
        "more": None if more is None else orjson.dumps(more).decode(),
    }
    row = write(statement, {**parameters, **values}).fetch_one()
    if row is None:
        return None
    task_id, document, version = row
    after_commit(_call_callbacks)
    _log_change(kind=kind, task_id=task_id, actor_id=actor_id)
    return Representation(task_id, document, version)


def record_tasks(kind: str, task_ids: Iterable[int]) -> None:
    """Record that the same thing happened to several tasks by themselves, with one statement in the unit of work."""
    record_set(_RECORD_TASKS, kind, {"task_ids": sorted(task_ids), "more": None})


def record_set(statement: str, kind: str, parameters: Mapping[str, Any]) -> list[int]:
    """Record what happened to several tasks by themselves, by a statement that ends with `recording()`.

    `parameters` has the other parameters of the statement. Returns the ids of the tasks.
    """
    values = {"type": kind, "actor_id": None, "request_id": _request_id(), "changes": "{}"}
    recorded = [task_id for task_id, _, _ in write(statement, {**parameters, **values}).fetch_all()]
    for task_id in recorded:
        after_commit(_call_callbacks)
        _log_change(kind=kind, task_id=task_id, actor_id=None)
    return recorded


def record(kind: str, *, audience: Iterable[int], data: dict[str, object], actor_id: int | None = None) -> None:
    """Record something that is not about one task, in the running unit of work."""
    parameters = {
        "type": kind,
        "actor_id": actor_id,
        "audience": list(audience),
        "request_id": _request_id(),
        "data": orjson.dumps(data).decode(),
    }
    write(_RECORD, parameters)
    after_commit(_call_callbacks)
    _log_change(kind=kind, actor_id=actor_id)


def record_access_lost(user_ids: Collection[int]) -> None:
    """Record that users may no longer read some tasks, so that nothing about them is sent that waits for their sockets.

    It does no harm to name users who may still read them.
    """
    if user_ids:
        record(ACCESS_LOST, audience=user_ids, data={})


def read_since(since: int, limit: int) -> list[Event]:
    """Read up to `limit` published events after the number `since`, in order.

    The audience of an event about a task are those who could read the task then, and may still read it now.
    """
    rows = read(_READ_SINCE, {"since": since, "limit": limit}).fetch_all()
    return [Event(seq, kind, task, actor, tuple(who), *rest) for seq, kind, task, actor, who, *rest in rows]


def read_missed(actor: Actor, since: int, limit: int) -> list[tuple[int, Event | None]]:
    """Read what `read_since()` reads, for one listener: each number, with the event if this listener may receive it."""
    parameters = {
        "actor_id": actor.user_id,
        "is_admin": actor.is_admin,
        "internal": list(INTERNAL_TYPES),
        "private": list(PRIVATE_TYPES),
        "since": since,
        "limit": limit,
    }
    return [
        (seq, None if data is None else Event(seq, kind, task_id, actor_id, (actor.user_id,), at, request_id, data))
        for seq, kind, task_id, actor_id, at, request_id, data in read(_READ_MISSED, parameters).fetch_all()
    ]


def bounds() -> Bounds:
    """Read which numbers the log contains."""
    return Bounds(*read(_BOUNDS).fetch_exactly_one())


def _request_id() -> str | None:
    return log_context().get("request_id")
