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

Describe = Callable[["Operation", Representation | Failure], dict[str, Any]]
"""Makes the result for the client from what an operation returned or raised."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One change: its kind, the task (None for a new one), the fields, and the expected version (None for any)."""

    kind: Literal["create", "update", "delete"]
    task_id: int | None
    fields: dict[str, Any]
    version: int | None


def change_tasks(actor: Actor, operations: Sequence[Operation], atomic: bool, describe: Describe) -> Representation:
    """Carry out operations in their order; returns `{"results": [...]}` with the value of `describe` for each.

    A failure undoes its own operation. With `atomic` a failure undoes all operations and is raised.

    Raises:
        Failure: the first one, with the number of its operation in `at`, if `atomic` is set.
    """
    results: list[dict[str, Any]] = []
    with unit_of_work():
        # Locking in the order of the ids prevents a deadlock of two requests that change the same tasks.
        read(_LOCK_IN_ORDER, {"task_ids": [operation.task_id for operation in operations if operation.task_id]})
        for number, operation in enumerate(operations):
            try:
                outcome: Representation | Failure = _carry_out(actor, operation)
            except Failure as failure:
                if atomic:
                    failure.at = number
                    raise
                outcome = failure
            results.append(describe(operation, outcome))
    return Representation(0, orjson.dumps({"results": results}).decode())


def _carry_out(actor: Actor, operation: Operation) -> Representation:
    if operation.task_id is None:
        return tasks.create_task(actor, operation.fields)
    expected = None if operation.version is None else {operation.version}
    if operation.kind == "delete":
        return tasks.delete_task(actor, operation.task_id, expected)
    return tasks.update_task(actor, operation.task_id, operation.fields, expected)
