"""Work that waits in the rows of a table: it is claimed, tried again after growing waits, and given up in the end.

A kind of work has three columns with a common prefix. `…_status` is `pending` while the work waits. `…_attempts` counts
the attempts that were begun, also those that killed their process. `…_next_attempt_at` is when the next attempt may
begin. A lost message therefore only delays the work: `send_overdue()` finds its rows and sends the job again.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from core.db import read, unit_of_work, write
from core.jobs import Job, JobContext

_BATCH: Final = 500
# A longer queue means that the workers are behind; what waits in it need not be sent a second time.
_BACKLOG: Final = 500
# The job that was sent when the work came up needs a moment before it counts as lost.
_GRACE_SECONDS: Final = 3

Key = TypeVar("Key", int, str)


_CLAIM: Final = """
UPDATE {table} SET {prefix}_attempts = {prefix}_attempts + 1,
    {prefix}_next_attempt_at = now() + make_interval(secs => least(
        %(first_wait)s * power(2, {prefix}_attempts), %(longest_wait)s) * %(jitter)s)
WHERE {key} = %(key)s AND {prefix}_status = 'pending' AND {prefix}_next_attempt_at <= now()
"""

# A batch is chosen in a WITH, which runs once; a subquery PostgreSQL may run anew for each row, and so without bound.
_SETTLE: Final = """
WITH batch AS (
    SELECT id FROM {table}
    WHERE {key} = %(key)s AND {prefix}_status = 'pending' AND {prefix}_attempts >= %(attempts)s
        AND (NOT %(due_only)s OR {prefix}_next_attempt_at <= now())
    ORDER BY id LIMIT %(limit)s FOR UPDATE)
UPDATE {table} settled SET {prefix}_status = %(status)s{also_set}
FROM batch WHERE settled.id = batch.id
RETURNING settled.id
"""

_IS_DUE: Final = """
SELECT EXISTS (SELECT FROM {table}
    WHERE {key} = %(key)s AND {prefix}_status = 'pending' AND {prefix}_next_attempt_at <= now())
"""

_OVERDUE: Final = """
SELECT {key} FROM {table}
WHERE {prefix}_status = 'pending' AND {prefix}_next_attempt_at <= now() - make_interval(secs => %(grace)s)
GROUP BY {key} ORDER BY min({prefix}_next_attempt_at) LIMIT %(limit)s
"""

_HAS_OVERDUE: Final = """
SELECT EXISTS (SELECT FROM {table}
    WHERE {prefix}_status = 'pending' AND {prefix}_next_attempt_at <= now() - make_interval(secs => %(grace)s))
"""

_REVIVE: Final = """
UPDATE {table} SET {prefix}_status = 'pending', {prefix}_attempts = 0, {prefix}_next_attempt_at = now()
WHERE {prefix}_status = %(given_up)s
"""


@dataclass(frozen=True, slots=True)
class Patience:
    """How often work is tried, and how many seconds lie between attempts: the first wait doubles up to the longest."""

    attempts: int
    first_wait: float
    longest_wait: float


def _record_nothing(_row_id: int, _status: str | None) -> None:
    """For work whose end is no event."""


@dataclass(frozen=True)
class WaitingWork(Generic[Key]):
    """A kind of work: the table it waits in, the prefix of its columns, and the column that its jobs name it by.

    Several rows may have the same key; they are then claimed and settled together.

    Attributes:
        given_up: The status of work that is not tried any more.
        also_set: Further assignments of the UPDATE that settles a row, in which `%(result)s` is the work's result.
        record: Called with the id and the new status of each settled row, in the transaction that settles it.
    """

    table: str
    prefix: str
    key: str
    given_up: str
    also_set: str = ""
    record: Callable[[int, str | None], object] = _record_nothing

    def claim(self, key: Key, patience: Patience) -> bool:
        """Count an attempt and put the next one off; returns whether there was anything to claim.

        Who claims second finds nothing, and a worker that dies afterwards leaves the work to the next attempt.
        """
        parameters = {
            "key": key,
            "first_wait": patience.first_wait,
            "longest_wait": patience.longest_wait,
            "jitter": random.uniform(0.5, 1.0),  # noqa: S311 - this spreads retries, it keeps no secret.
        }
        with unit_of_work():
            return write(self._sql(_CLAIM), parameters).count > 0

    def is_due(self, key: Key) -> bool:
        """Whether an attempt may begin now."""
        return bool(read(self._sql(_IS_DUE), {"key": key}).fetch_value())

    def settle(self, key: Key, status: str | None, result: Any = None) -> int:
        """End the waiting of all rows with this key, with a status and a result; returns how many there were."""
        return self._settle({"key": key, "status": status, "result": result, "attempts": 0, "due_only": False})

    def give_up(self, key: Key, patience: Patience) -> int:
        """After an attempt that failed: give up on the rows for which it was the last; returns how many there were."""
        return self._give_up(key, patience, due_only=False)

    def give_up_lost(self, key: Key, patience: Patience) -> int:
        """Before a claim: give up on rows that still wait after their last attempt, because it killed its process.

        Rows whose last attempt may still be running are left alone. Returns how many there were.
        """
        return self._give_up(key, patience, due_only=True)

    def overdue(self, limit: int) -> list[Key]:
        """Up to `limit` keys that wait although their turn came seconds ago: their job was lost, or put off."""
        rows = read(self._sql(_OVERDUE), {"grace": _GRACE_SECONDS, "limit": limit}).fetch_all()
        return [key for (key,) in rows]

    def has_overdue(self) -> bool:
        """Whether `overdue()` would find anything."""
        return bool(read(self._sql(_HAS_OVERDUE), {"grace": _GRACE_SECONDS}).fetch_value())

    def revive(self) -> int:
        """Try all work that was given up once more, from the first attempt; returns how many rows there were."""
        with unit_of_work():
            return write(self._sql(_REVIVE), {"given_up": self.given_up}).count

    def _give_up(self, key: Key, patience: Patience, *, due_only: bool) -> int:
        about = {"key": key, "status": self.given_up, "attempts": patience.attempts}
        return self._settle(about | {"result": None, "due_only": due_only})

    def _settle(self, parameters: dict[str, Any]) -> int:
        total = 0
        while True:
            settled = self._settle_batch(parameters | {"limit": _BATCH})
            total += settled
            if settled < _BATCH:
                return total

    def _settle_batch(self, parameters: dict[str, Any]) -> int:
        with unit_of_work():
            settled = write(self._sql(_SETTLE), parameters).fetch_all()
            for (row_id,) in settled:
                self.record(row_id, parameters["status"])
        return len(settled)

    def _sql(self, template: str) -> str:
        also_set = f", {self.also_set}" if self.also_set else ""
        return template.format(table=self.table, prefix=self.prefix, key=self.key, also_set=also_set)


def send_overdue(context: JobContext, job: Job[Key], work: WaitingWork[Key]) -> int:
    """Send a job for each overdue key, as far as the job's queue has room; returns how many were sent."""
    room = _BACKLOG - context.queue_length(job.queue)
    keys = work.overdue(room) if room > 0 else []
    for key in keys:
        context.send(job, key)
    return len(keys)
