"""Read the events that a test has caused from the event log."""

from typing import Any, NamedTuple

from tests.sql import execute


class RecordedEvent(NamedTuple):
    """One event: its type, the user who caused it, the ids of the users who may receive it, and its data."""

    type: str
    actor_id: int | None
    audience: list[int]
    data: dict[str, Any]


def recorded_events(task_id: int | None = None, *, kind: str | None = None) -> list[RecordedEvent]:
    """Return the events of this task and of this type, oldest first; without arguments, all events."""
    rows = execute(
        "SELECT type, actor_id, audience, data FROM events"
        " WHERE (%(task_id)s::bigint IS NULL OR task_id = %(task_id)s) AND (%(kind)s::text IS NULL OR type = %(kind)s)"
        " ORDER BY id",
        {"task_id": task_id, "kind": kind},
    ).fetchall()
    return [RecordedEvent(*row) for row in rows]


def recorded_types(task_id: int) -> list[str]:
    """Return the types of a task's events, oldest first."""
    return [event.type for event in recorded_events(task_id)]
