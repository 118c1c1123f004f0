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


# Rows are locked in the order of their ids, as everywhere, so that no two transactions wait for each other.
_CLAIM: Final = """
WITH due AS (
    SELECT id AS row_id FROM {table}
    WHERE {key} = ANY(%(keys)s) AND {prefix}_status = 'pending' AND {prefix}_next_attempt_at <= now()
    ORDER BY id FOR UPDATE)
UPDATE {table} SET {prefix}_attempts = {prefix}_attempts + 1,
    {prefix}_next_attempt_at = now() + make_interval(secs => least(
        %(first_wait)s * power(2, {prefix}_attempts), %(longest_wait)s) * %(jitter)s)
FROM due WHERE id = row_id
RETURNING {key}, id
"""

# The batch is selected in a WITH, which runs once. PostgreSQL may run a subquery again for each row, and then the LIMIT
# would not limit the whole statement.
_SETTLE: Final = """
WITH batch AS (
    SELECT id AS row_id, end_status, end_result
    FROM unnest(%(keys)s, %(statuses)s::text[], %(results)s::json[]) AS outcome (of_key, end_status, end_result)
    JOIN {table} ON {key} = of_key
    WHERE {prefix}_status = 'pending' AND {prefix}_attempts >= %(attempts)s
        AND (NOT %(due_only)s OR {prefix}_next_attempt_at <= now())
    ORDER BY id LIMIT %(limit)s FOR UPDATE OF {table})
UPDATE {table} settled SET {prefix}_status = end_status{also_set}, {failure}
FROM batch WHERE settled.id = row_id
RETURNING settled.id, end_status
"""

# Work that is given up keeps its failure, and work that ends otherwise has none. If an attempt has ended its process,
# nobody could note why.
_FAILURE: Final = """
{prefix}_error = CASE WHEN %(due_only)s THEN 'its job has killed its process'
                      WHEN %(attempts)s > 0 THEN {prefix}_error END,
{prefix}_failing_since = CASE WHEN %(attempts)s > 0 THEN coalesce({prefix}_failing_since, now()) END
"""

_NOTE_FAILURE: Final = """
UPDATE {table} SET {prefix}_error = %(reason)s, {prefix}_failing_since = coalesce({prefix}_failing_since, now())
WHERE {key} = ANY(%(keys)s) AND {prefix}_status = 'pending'
"""

# The attempt that was begun does not count. Work that was changed meanwhile has begun anew, and has no attempts.
_POSTPONE: Final = """
WITH claimed AS (
    SELECT id AS row_id FROM {table}
    WHERE id = ANY(%(row_ids)s) AND {prefix}_status = 'pending' AND {prefix}_attempts > 0 ORDER BY id FOR UPDATE)
UPDATE {table} SET {prefix}_attempts = {prefix}_attempts - 1,
    {prefix}_next_attempt_at = %(until)s::timestamptz + %(jitter)s * make_interval(secs => %(spread)s)
FROM claimed WHERE id = row_id
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

_DUE: Final = """
SELECT count(*) FROM (SELECT FROM {table}
    WHERE {prefix}_status = 'pending' AND {prefix}_next_attempt_at <= now() LIMIT %(limit)s) due
"""

# `waiting` is each user whose work waits, with the time of the next attempt of that user's most urgent work. It takes
# one look into the index for each user, however many rows they have.
_USERS: Final = """
WITH RECURSIVE waiting AS (
    (SELECT {owner} AS user_id, {prefix}_next_attempt_at AS since FROM {table}
     WHERE {prefix}_status = 'pending' ORDER BY 1, 2 LIMIT 1)
    UNION ALL
    SELECT following.* FROM waiting CROSS JOIN LATERAL (
        SELECT {owner}, {prefix}_next_attempt_at FROM {table}
        WHERE {prefix}_status = 'pending' AND {owner} > waiting.user_id ORDER BY 1, 2 LIMIT 1) following
), chosen AS (
    SELECT waiting.user_id, taken_at, since FROM waiting
    LEFT JOIN turns ON turns.work = %(work)s AND turns.user_id = waiting.user_id
    WHERE since <= now() ORDER BY taken_at NULLS FIRST, since LIMIT %(users)s
)"""

_TAKEN: Final = """
INSERT INTO turns (work, user_id, taken_at) SELECT %(work)s, user_id, {taken_at} FROM {users}
ON CONFLICT (work, user_id) DO UPDATE SET taken_at = excluded.taken_at
"""

_NEXT: Final = f"""{_USERS}, taken AS ({_TAKEN.format(taken_at="clock_timestamp()", users="chosen")})
SELECT (SELECT {{key}} FROM {{table}} WHERE {{prefix}}_status = 'pending' AND {{owner}} = chosen.user_id
        ORDER BY {{prefix}}_next_attempt_at LIMIT 1) FROM chosen
"""

# Each user's most urgent keys are numbered, and the first of all users come before the second of any. A key is only
# taken if no other process works on it. The locks are tried in a WITH of their own, so only for rows that are returned.
_LOCK_OF_KEY: Final = "hashtextextended(%(work)s || ':' || due_key, 0)"
_NEXT_KEYS: Final = f"""{_USERS}, numbered AS MATERIALIZED (
    SELECT user_id, due_key, row_number() OVER (ORDER BY round, taken_at NULLS FIRST, since) AS position
    FROM chosen CROSS JOIN LATERAL (
        SELECT due_key, row_number() OVER (ORDER BY min(due_at)) AS round FROM (
            SELECT {{key}} AS due_key, {{prefix}}_next_attempt_at AS due_at FROM {{table}}
            WHERE {{prefix}}_status = 'pending' AND {{owner}} = chosen.user_id AND {{prefix}}_next_attempt_at <= now()
            ORDER BY {{prefix}}_next_attempt_at LIMIT %(rows)s) urgent
        GROUP BY due_key) own
), ordered AS MATERIALIZED (
    SELECT due_key FROM numbered GROUP BY due_key ORDER BY min(position)
), locked AS MATERIALIZED (
    SELECT due_key FROM ordered WHERE pg_try_advisory_lock({_LOCK_OF_KEY}) LIMIT %(limit)s
), served AS (
    SELECT user_id, statement_timestamp() + max(position) * interval '1 microsecond' AS last_turn
    FROM numbered JOIN locked USING (due_key) GROUP BY user_id ORDER BY user_id
), taken AS ({_TAKEN.format(taken_at="last_turn", users="served")})
SELECT due_key FROM locked
"""
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
            for key, row_id in write(self._sql(_CLAIM), parameters).fetch_all():
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
            write(self._sql(_POSTPONE), about)

    def overdue(self, limit: int) -> list[Key]:
        """Return up to `limit` keys whose next attempt is seconds overdue: their job was lost or has failed."""
        rows = read(self._sql(_OVERDUE), {"grace": _GRACE_SECONDS, "limit": limit}).fetch_all()
        return [key for (key,) in rows]

    def has_overdue(self) -> bool:
        """Whether `overdue()` would find anything."""
        return bool(read(self._sql(_HAS_OVERDUE), {"grace": _GRACE_SECONDS}).fetch_value())

    def count_due(self, limit: int) -> int:
        """Count the rows for which an attempt may begin now, up to `limit`."""
        return int(read(self._sql(_DUE), {"limit": limit}).fetch_value())

    def next_key(self) -> Key | None:
        """Take a turn: return the most urgent work of the user whose last turn is the longest ago, or None.

        This does not claim the work. Two workers may get the same key, and then only one of them can claim it.
        """
        with unit_of_work():
            row = write(self._sql(_NEXT), {"work": self.prefix, "users": 1}).fetch_one()
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
                    rows = write(self._sql(_NEXT_KEYS), parameters).fetch_all()
                yield [key for (key,) in rows]
            finally:
                read("SELECT pg_advisory_unlock_all()")

    def _note_failure(self, keys: Collection[Key], reason: str) -> None:
        with unit_of_work():
            write(self._sql(_NOTE_FAILURE), {"keys": list(keys), "reason": reason[:_LONGEST_REASON]})

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
            settled: dict[int, str | None] = dict(write(self._sql(_SETTLE), parameters).fetch_all())
            if settled:
                self.record(settled)
        return len(settled)

    def _sql(self, template: str) -> str:
        also_set = f", {self.also_set}" if self.also_set else ""
        failure = _FAILURE.format(prefix=self.prefix)
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
