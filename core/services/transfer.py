"""Export of the caller's own tasks in pages, and import of new tasks in batches."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson
import structlog

from core import events
from core.db import read, unit_of_work
from core.errors import Failure, FieldError, Invalid, Unavailable
from core.models.task import TASK_JSON
from core.policy import Actor
from core.representations import Representation
from core.services import audit
from core.services.tasks import create_task

log = structlog.get_logger()

PAGE_LENGTH: Final = 500
BATCH_LENGTH: Final = 100

# PostgreSQL reads the index `tasks_owner_created` backwards for this.
_READ_PAGE = f"""
SELECT {TASK_JSON}::text, t.created_at, t.id FROM tasks t
WHERE t.user_id = %(user_id)s AND (t.created_at, t.id) > (%(created_at)s, %(id)s)
ORDER BY t.created_at, t.id LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class Cursor:
    """The task after which a page begins."""

    created_at: datetime
    id: int


START: Final = Cursor(datetime.min.replace(tzinfo=UTC), 0)


@dataclass(frozen=True, slots=True)
class OwnPage:
    """The JSON of some tasks; `end` is the task after which the next page begins, or None after the last page."""

    tasks: list[str]
    end: Cursor | None


@dataclass(frozen=True, slots=True)
class Line:
    """The text of one task, and the number of the line at which it begins."""

    number: int
    text: bytes


@dataclass(frozen=True, slots=True)
class Refusal:
    """The errors of a line from which no task was created."""

    line: int
    errors: list[FieldError]


def begin_export(actor: Actor) -> OwnPage:
    """Record in the audit log that the caller exports tasks, and read the first page."""
    with unit_of_work():
        audit.record(audit.DATA_EXPORTED, user_id=actor.user_id, what="tasks")
    return read_own_page(actor, START)


def read_own_page(actor: Actor, after: Cursor) -> OwnPage:
    """Read a page of the tasks that the caller owns, the oldest first."""
    rows = read(
        _READ_PAGE,
        {"user_id": actor.user_id, "created_at": after.created_at, "id": after.id, "limit": PAGE_LENGTH},
    ).fetch_all()
    end = Cursor(*rows[-1][1:]) if len(rows) == PAGE_LENGTH else None
    return OwnPage([task for task, *_ in rows], end)


def import_batch(
    actor: Actor,
    lines: Sequence[Line],
    quota: int,
    parse: Callable[[bytes], dict[str, Any]],
    describe: Callable[[Refusal], dict[str, Any]],
) -> Representation:
    """Create a task of the caller from each line, in one unit of work; returns a JSON array of the failures.

    The log gets no line for each task: an import of a large file would push everything else out of the log. The caller
    writes one line for the whole file with `log_import()`.

    `quota` is how many tasks the caller may own. `parse` returns the fields of a task from a line, or raises `Invalid`;
    `describe` returns the item of the array for a refusal.
    """
    refusals: list[dict[str, Any]] = []
    with events.without_log_lines(), unit_of_work():
        for line in lines:
            try:
                create_task(actor, parse(line.text), quota)
            except Unavailable:
                raise
            except Failure as failure:
                refusals.append(describe(Refusal(line.number, _errors(failure))))
    return Representation(0, orjson.dumps(refusals).decode())


def log_import(actor: Actor, created: int, failed: int) -> None:
    """Write the one log line of an import, also of one that did not get to the end of its file."""
    log.info("tasks_imported", actor_id=actor.user_id, created=created, failed=failed)


def _errors(failure: Failure) -> list[FieldError]:
    return failure.errors if isinstance(failure, Invalid) else [FieldError("", failure.detail)]
