"""Many changes of tasks in one request: each succeeds or fails by itself, or all of them together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from core.db import read, unit_of_work
from core.errors import Failure
from core.policy import Actor
from core.representations import Representation
from core.services import tasks

_LOCK_IN_ORDER = "SELECT id FROM tasks WHERE id = ANY(%(task_ids)s) ORDER BY id FOR UPDATE"

Describe = Callable[["TaskChange", Representation | Failure], dict[str, Any]]
"""Makes a result for the client out of what a change returned or raised."""


@dataclass(frozen=True, slots=True)
class TaskChange:
    """One change: its kind, the task (None for a new one), the fields, and the expected version (None for any)."""

    kind: Literal["create", "update", "delete"]
    task_id: int | None
    fields: dict[str, Any]
    version: int | None


def change_tasks(
    actor: Actor, changes: Sequence[TaskChange], atomic: bool, quota: int, describe: Describe
) -> Representation:
    """Carry out changes in their order; returns `{"results": [...]}` with what `describe` makes of each.

    A failure undoes its own change. With `atomic` a failure undoes all changes and is raised. `quota` is how many tasks
    the caller may own.

    Raises:
        Failure: the first one, with the number of its change in `at`, if `atomic` is set.
    """
    results: list[dict[str, Any]] = []
    with unit_of_work():
        # Locking in the order of the ids prevents a deadlock of two requests that change the same tasks.
        read(_LOCK_IN_ORDER, {"task_ids": [change.task_id for change in changes if change.task_id]})
        for number, change in enumerate(changes):
            try:
                outcome: Representation | Failure = _carry_out(actor, change, quota)
            except Failure as failure:
                if atomic:
                    failure.at = number
                    raise
                outcome = failure
            results.append(describe(change, outcome))
    return Representation(0, orjson.dumps({"results": results}).decode())


def _carry_out(actor: Actor, change: TaskChange, quota: int) -> Representation:
    if change.task_id is None:
        return tasks.create_task(actor, change.fields, quota)
    expected = None if change.version is None else {change.version}
    if change.kind == "delete":
        return tasks.delete_task(actor, change.task_id, expected)
    return tasks.update_task(actor, change.task_id, change.fields, expected)
