"""Work that waits in the rows of a table: it is claimed, retried with growing waits, and given up in the end.

A kind of work has three columns with a common prefix. `…_status` is `pending` while the work waits. `…_attempts` counts
the attempts that were begun, also those that crashed their process. `…_next_attempt_at` is when the next attempt may
begin. A lost message therefore only delays the work: `send_overdue()` finds its rows and sends the job again.

Two more columns are for operators (see `core.services.failed_work`). `…_error` is why the last attempt has failed, and
`…_failing_since` is when the first one did. Both are NULL while nothing has failed, and after a success.

If one user can cause very much work of a kind, its jobs have no arguments. Such a job takes a turn: when it starts,
`next_key()` returns what to do, which is the most urgent work of the user whose last turn is the longest ago.
`send_due()` sends these jobs. So however much work one user has, that of another waits for one turn of each user.
Work that is done for many keys together takes many turns at once, with `turns()`.
"""

import random
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Generic, NamedTuple, TypeVar

from core import retry_statements
from core.db import connected, read, unit_of_work, write
from core.jobs import Job, JobContext

_BATCH: Final = 500
# If a queue is longer than this, the workers are too slow. Sending its jobs a second time would not help.
_BACKLOG: Final = 500
# The job that was sent when the work was created needs some time before it counts as lost.
_GRACE_SECONDS: Final = 3
# More jobs that take turns need not wait in the queue than workers can start at a time. Each sends the next ones.
_WAITING_TURNS: Final = 20

# The reason of a failure may be a message of another server, so it could be long.
_LONGEST_REASON: Final = 300

Key = TypeVar("Key", int, str)
# More rows of a user are looked at than keys are wanted, since several may have the same key or be locked.
_ROWS_FOR_A_KEY: Final = 4


class Outcome(NamedTuple):
    """How work has ended: its new status, and the result as JSON text, if it has one."""

    status: str | None
    result: str | None = None


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often work is tried, and the seconds between attempts: the wait doubles each time up to the longest."""

    attempts: int
    first_wait: float
    longest_wait: float


def _record_nothing(_statuses: Mapping[int, str | None]) -> None:
    """The default: record no event when work ends."""


@dataclass(frozen=True)
class WaitingWork(Generic[Key]):
    """A kind of work: its table, the prefix of its columns, and the key of what is to be done, as SQL over the table.

    Several rows may have the same key; they are then claimed and settled together.

    Attributes:
        given_up: The status of work that is not tried again.
        owner: The user whose work a row is, as an SQL expression over the table, for work that is done in turns. It
            needs an index on this expression and `…_next_attempt_at`.
        also_set: Further assignments of the UPDATE that settles a row, in which `end_result` is the result as JSON.
        record: Called with the new status of each settled row by its id, in the transaction that settles these rows.
    """

    table: str
    prefix: str
    key: str
    given_up: str
    owner: str = "user_id"
    also_set: str = ""
    record: Callable[[Mapping[int, str | None]], object] = _record_nothing

    def claim(self, keys: Collection[Key], policy: RetryPolicy) -> dict[Key, list[int]]:
        """Count an attempt and set the time of the next one; returns the ids of the claimed rows by their keys.

        If two workers claim the same work, only the first one gets it. If it dies, the next attempt does the work.
        """
        parameters = {
            "keys": list(keys),
            "first_wait": policy.first_wait,
            "longest_wait": policy.longest_wait,
            "jitter": random.uniform(0.5, 1.0),  # noqa: S311 - this spreads retries and is no secret.
        }
        claimed: dict[Key, list[int]] = {}
        with unit_of_work():
            for key, row_id in write(self._sql(retry_statements.CLAIM), parameters).fetch_all():
                claimed.setdefault(key, []).append(row_id)
        return claimed

    def settle(self, outcomes: Mapping[Key, Outcome]) -> int:
        """Write statuses and results to all waiting rows with these keys; returns how many there were."""
        return self._settle(outcomes, attempts=0, due_only=False)

    def give_up(self, keys: Collection[Key], policy: RetryPolicy, reason: str) -> int:
        """After a failed attempt: give up the rows for which it was the last one; returns how many there were.

        The reason is kept, also with the rows that wait for another attempt. It must not contain a secret.
        """
        self._note_failure(keys, reason)
        return self._settle(self._given_up(keys), attempts=policy.attempts, due_only=False)

    def refuse(self, keys: Collection[Key], reason: str) -> int:
        """After a failed attempt that no other one can better: give up all rows; returns how many there were."""
        self._note_failure(keys, reason)
        return self._settle(self._given_up(keys), attempts=1, due_only=False)

    def give_up_lost(self, keys: Collection[Key], policy: RetryPolicy) -> int:
        """Before a claim: give up rows that still wait after their last attempt, because it crashed its process.

        Rows whose last attempt may still be running are not changed. Returns how many rows were given up.
        """
        return self._settle(self._given_up(keys), attempts=policy.attempts, due_only=True)

    def postpone(self, row_ids: Collection[int], until: datetime, spread_seconds: float) -> None:
        """After a claim: try these rows again from a point in time on, as if no attempt had been begun.

        By chance the time is up to `spread_seconds` later, so that not all work begins at once.
        """
        jitter = random.random()  # noqa: S311 - this spreads attempts and is no secret.
        with unit_of_work():
            about = {"row_ids": list(row_ids), "until": until, "spread": spread_seconds, "jitter": jitter}
            write(self._sql(retry_statements.POSTPONE), about)

    def overdue(self, limit: int) -> list[Key]:
        """Return up to `limit` keys whose next attempt is seconds overdue: their job was lost or has failed."""
        rows = read(self._sql(retry_statements.OVERDUE), {"grace": _GRACE_SECONDS, "limit": limit}).fetch_all()
        return [key for (key,) in rows]

    def has_overdue(self) -> bool:
        """Whether `overdue()` would find anything."""
        return bool(read(self._sql(retry_statements.HAS_OVERDUE), {"grace": _GRACE_SECONDS}).fetch_value())

    def count_due(self, limit: int) -> int:
        """Count the rows for which an attempt may begin now, up to `limit`."""
        return int(read(self._sql(retry_statements.DUE), {"limit": limit}).fetch_value())

    def next_key(self) -> Key | None:
        """Take a turn: return the most urgent work of the user whose last turn is the longest ago, or None.

        This does not claim the work. Two workers may get the same key, and then only one of them can claim it.
        """
        with unit_of_work():
            row = write(self._sql(retry_statements.NEXT), {"work": self.prefix, "users": 1}).fetch_one()
        return None if row is None else row[0]

    @contextmanager
    def turns(self, limit: int) -> Iterator[list[Key]]:
        """Take turns until there are `limit` keys, and yield these keys, on which no other process works in the block.

        The keys are not claimed yet. All advisory locks of this thread are released at the end.
        """
        parameters = {"work": self.prefix, "users": limit, "rows": limit * _ROWS_FOR_A_KEY, "limit": limit}
        with connected():
            try:
                with unit_of_work():
                    rows = write(self._sql(retry_statements.NEXT_KEYS), parameters).fetch_all()
                yield [key for (key,) in rows]
            finally:
                read("SELECT pg_advisory_unlock_all()")

    def _note_failure(self, keys: Collection[Key], reason: str) -> None:
        with unit_of_work():
            write(self._sql(retry_statements.NOTE_FAILURE), {"keys": list(keys), "reason": reason[:_LONGEST_REASON]})

    def _given_up(self, keys: Collection[Key]) -> dict[Key, Outcome]:
        return dict.fromkeys(keys, Outcome(self.given_up))

    def _settle(self, outcomes: Mapping[Key, Outcome], *, attempts: int, due_only: bool) -> int:
        parameters = {
            "keys": list(outcomes),
            "statuses": [outcome.status for outcome in outcomes.values()],
            "results": [outcome.result for outcome in outcomes.values()],
            "attempts": attempts,
            "due_only": due_only,
            "limit": _BATCH,
        }
        total = 0
        while outcomes:
            settled = self._settle_batch(parameters)
            total += settled
            if settled < _BATCH:
                break
        return total

    def _settle_batch(self, parameters: dict[str, Any]) -> int:
        with unit_of_work():
            settled: dict[int, str | None] = dict(write(self._sql(retry_statements.SETTLE), parameters).fetch_all())
            if settled:
                self.record(settled)
        return len(settled)

    def _sql(self, template: str) -> str:
        also_set = f", {self.also_set}" if self.also_set else ""
        failure = retry_statements.FAILURE.format(prefix=self.prefix)
        return template.format(
            table=self.table, prefix=self.prefix, key=self.key, owner=self.owner, also_set=also_set, failure=failure
        )


def send_overdue(context: JobContext, job: Job[Key], work: WaitingWork[Key]) -> int:
    """Send a job for each overdue key, but only until the job's queue is full; returns how many were sent."""
    room = _BACKLOG - context.queue_length(job.queue)
    keys = work.overdue(room) if room > 0 else []
    for key in keys:
        context.send(job, key)
    return len(keys)


def send_due(context: JobContext, job: Job[()], work: WaitingWork[Any]) -> int:
    """Send as many jobs that take turns as there is work for, but only until few wait in the queue; returns how many.

    Each of these jobs calls this at its end, so the queue stays filled until no work is due any more.
    """
    due = work.count_due(_WAITING_TURNS)
    missing = due - context.queue_length(job.queue) if due else 0
    for _ in range(missing):
        context.send(job)
    return max(missing, 0)
