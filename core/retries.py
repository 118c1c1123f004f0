"""Work that waits in the rows of a table: it is claimed, retried with growing waits, and given up in the end.

A kind of work has three columns with a common prefix. `…_status` is `pending` while the work waits. `…_attempts` counts
the attempts that were begun, also those that crashed their process. `…_next_attempt_at` is when the next attempt may
begin. A lost message therefore only delays the work: `send_overdue()` finds its rows and sends the job again.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from core.db import read, unit_of_work, write
from core.jobs import Job, JobContext

_BATCH: Final = 500
# If a queue is longer than this, the workers are too slow. Sending its jobs a second time would not help.
_BACKLOG: Final = 500
# The job that was sent when the work was created needs some time before it counts as lost.
_GRACE_SECONDS: Final = 3

Key = TypeVar("Key", int, str)


_CLAIM: Final = """
UPDATE {table} SET {prefix}_attempts = {prefix}_attempts + 1,
    {prefix}_next_attempt_at = now() + make_interval(secs => least(
        %(first_wait)s * power(2, {prefix}_attempts), %(longest_wait)s) * %(jitter)s)
WHERE {key} = %(key)s AND {prefix}_status = 'pending' AND {prefix}_next_attempt_at <= now()
"""

# The batch is selected in a WITH, which runs once. PostgreSQL may run a subquery again for each row, and then the LIMIT
# would not limit the whole statement.
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

# The jitter spreads the work over the first minutes of the hour. The attempt that was begun does not count.
_POSTPONE: Final = """
UPDATE {table} SET {prefix}_attempts = {prefix}_attempts - 1,
    {prefix}_next_attempt_at = date_trunc('hour', now()) + interval '1 hour' + %(jitter)s * interval '5 minutes'
WHERE {key} = %(key)s AND {prefix}_status = 'pending'
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
class RetryPolicy:
    """How often work is tried, and the seconds between attempts: the wait doubles each time up to the longest."""

    attempts: int
    first_wait: float
    longest_wait: float


def _record_nothing(_row_id: int, _status: str | None) -> None:
    """The default: record no event when work ends."""


@dataclass(frozen=True)
class WaitingWork(Generic[Key]):
    """A kind of work: its table, the prefix of its columns, and the column with the key that its jobs have as argument.

    Several rows may have the same key; they are then claimed and settled together.

    Attributes:
        given_up: The status of work that is not tried again.
        also_set: Further assignments of the UPDATE that settles a row, in which `%(result)s` is the work's result.
        record: Called with the id and the new status of each settled row, in the transaction that settles it.
    """

    table: str
    prefix: str
    key: str
    given_up: str
    also_set: str = ""
    record: Callable[[int, str | None], object] = _record_nothing

    def claim(self, key: Key, policy: RetryPolicy) -> bool:
        """Count an attempt and set the time of the next one; returns whether there was anything to claim.

        If two workers claim the same work, only the first one gets it. If it dies, the next attempt does the work.
        """
        parameters = {
            "key": key,
            "first_wait": policy.first_wait,
            "longest_wait": policy.longest_wait,
            "jitter": random.uniform(0.5, 1.0),  # noqa: S311 - this spreads retries and is no secret.
        }
        with unit_of_work():
            return write(self._sql(_CLAIM), parameters).count > 0

    def is_due(self, key: Key) -> bool:
        """Whether an attempt may begin now."""
        return bool(read(self._sql(_IS_DUE), {"key": key}).fetch_value())

    def settle(self, key: Key, status: str | None, result: Any = None) -> int:
        """Write a status and a result to all waiting rows with this key; returns how many there were."""
        return self._settle({"key": key, "status": status, "result": result, "attempts": 0, "due_only": False})

    def give_up(self, key: Key, policy: RetryPolicy) -> int:
        """After a failed attempt: give up the rows for which it was the last one; returns how many there were."""
        return self._give_up(key, policy, due_only=False)

    def give_up_lost(self, key: Key, policy: RetryPolicy) -> int:
        """Before a claim: give up rows that still wait after their last attempt, because it crashed its process.

        Rows whose last attempt may still be running are not changed. Returns how many rows were given up.
        """
        return self._give_up(key, policy, due_only=True)

    def postpone_to_next_hour(self, key: Key) -> None:
        """After a claim: try again in the next hour of the clock, as if no attempt had been begun."""
        with unit_of_work():
            # The jitter spreads attempts and is no secret.
            write(self._sql(_POSTPONE), {"key": key, "jitter": random.random()})  # noqa: S311 - see above.

    def overdue(self, limit: int) -> list[Key]:
        """Return up to `limit` keys whose next attempt is seconds overdue: their job was lost or has failed."""
        rows = read(self._sql(_OVERDUE), {"grace": _GRACE_SECONDS, "limit": limit}).fetch_all()
        return [key for (key,) in rows]

    def has_overdue(self) -> bool:
        """Whether `overdue()` would find anything."""
        return bool(read(self._sql(_HAS_OVERDUE), {"grace": _GRACE_SECONDS}).fetch_value())

    def revive(self) -> int:
        """Try all work that was given up again, from the first attempt; returns how many rows there were."""
        with unit_of_work():
            return write(self._sql(_REVIVE), {"given_up": self.given_up}).count

    def _give_up(self, key: Key, policy: RetryPolicy, *, due_only: bool) -> int:
        about = {"key": key, "status": self.given_up, "attempts": policy.attempts}
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
    """Send a job for each overdue key, but only until the job's queue is full; returns how many were sent."""
    room = _BACKLOG - context.queue_length(job.queue)
    keys = work.overdue(room) if room > 0 else []
    for key in keys:
        context.send(job, key)
    return len(keys)
