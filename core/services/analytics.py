"""Figures about tasks, precomputed as rollups: the number of tasks for each day of creation, owner and status.

Every change of a task writes deltas in its own transaction, and `fold()` adds them to the rollups. So tasks are never
counted again. The rollups together with the deltas that are not folded yet are exact at the moment of reading. Triggers
of the rollups keep their sums for each owner, which take the same time to read however many days there are.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from core import jobs
from core.days import beginning_of, end_of
from core.db import read, unit_of_work, write
from core.jobs import JobContext
from core.models.task import STATUSES
from core.policy import Actor, sees_all_analytics

_BATCH: Final = 5000
# A limit for one run of the job; the next run folds the rest.
_BATCHES: Final = 20
_DAY: Final = timedelta(days=1)

OWNED_TASKS: Final = """(
    coalesce((SELECT tasks FROM task_totals WHERE user_id = %(actor_id)s), 0)
    + (SELECT coalesce(sum(change), 0) FROM analytics_deltas WHERE user_id = %(actor_id)s)
)::bigint"""
"""The SQL expression of how many tasks the user `actor_id` owns. It is exact in the snapshot of its statement."""

ALL_TASKS: Final = """(
    (SELECT coalesce(sum(tasks), 0) FROM task_totals) + (SELECT coalesce(sum(change), 0) FROM analytics_deltas)
)::bigint"""
"""The SQL expression of how many tasks there are. It is exact in the snapshot of its statement."""

_OF_READER = "(%(user_id)s::bigint IS NULL OR user_id = %(user_id)s)"
_IN_RANGE = "(%(start)s::date IS NULL OR day >= %(start)s) AND (%(end)s::date IS NULL OR day <= %(end)s)"


def _figures(folded: str) -> str:
    """Return the query of the figures. `folded` has the tasks of owners by status without the deltas in the range."""
    totals = ", ".join(f"sum({status})::bigint AS {status}" for status in STATUSES)
    return f"""
    WITH figures AS (
        SELECT user_id, {totals} FROM ({folded} UNION ALL {_by_status("change", "analytics_deltas")}) every
        GROUP BY user_id
    )
    SELECT u.username, {", ".join(STATUSES)}, now()
    FROM (SELECT 1) one
    LEFT JOIN (figures f JOIN users u ON u.id = f.user_id) ON ({", ".join(STATUSES)}) <> (0, 0, 0)
    ORDER BY u.username
    """


def _by_status(number: str, table: str) -> str:
    """Return the query that adds up a column of a table with days, for each owner and status."""
    sums = ", ".join(
        f"coalesce(sum({number}) FILTER (WHERE status = '{status}'), 0) AS {status}" for status in STATUSES
    )
    return f"SELECT user_id, {sums} FROM {table} WHERE {_OF_READER} AND {_IN_RANGE} GROUP BY user_id"


_FIGURES_EVER = _figures(f"SELECT user_id, {', '.join(STATUSES)} FROM task_totals WHERE {_OF_READER}")
_FIGURES_OF_DAYS = _figures(_by_status("tasks", "analytics_rollups"))
# A day of another time zone consists of parts of two days of UTC. The tasks of such a part are counted one by one.
_COUNTED_IN_PARTS = f"""
    SELECT user_id, {", ".join(f"count(*) FILTER (WHERE status = '{status}') AS {status}" for status in STATUSES)}
    FROM unnest(%(begins)s::timestamptz[], %(ends)s::timestamptz[]) part ("begin", "end")
    JOIN tasks ON created_at >= part.begin AND created_at < part.end
    WHERE {_OF_READER} GROUP BY user_id
"""
_FIGURES_IN_RANGE = _figures(f"{_by_status('tasks', 'analytics_rollups')} UNION ALL {_COUNTED_IN_PARTS}")

# The days are those of the reader's time zone, which the rollups do not know, so this counts the tasks themselves.
_FIGURES_BY_DAY = """
WITH span AS (
    SELECT %(start)s::timestamp AT TIME ZONE %(zone)s AS begins,
           (%(end)s::date + 1)::timestamp AT TIME ZONE %(zone)s AS ends
), happened AS (
    SELECT (created_at AT TIME ZONE %(zone)s)::date AS day, 1 AS created, 0 AS done, 0 AS overdue
    FROM tasks, span WHERE (%(user_id)s::bigint IS NULL OR user_id = %(user_id)s)
      AND created_at >= begins AND created_at < ends
    UNION ALL
    SELECT (completed_at AT TIME ZONE %(zone)s)::date, 0, 1, 0
    FROM tasks, span WHERE (%(user_id)s::bigint IS NULL OR user_id = %(user_id)s)
      AND completed_at >= begins AND completed_at < ends
    UNION ALL
    SELECT (due_at AT TIME ZONE %(zone)s)::date, 0, 0, 1
    FROM tasks, span WHERE (%(user_id)s::bigint IS NULL OR user_id = %(user_id)s)
      AND due_at >= begins AND due_at < ends AND due_at < now() AND status <> 'done'
)
SELECT d.day::date, coalesce(sum(h.created), 0)::bigint, coalesce(sum(h.done), 0)::bigint,
       coalesce(sum(h.overdue), 0)::bigint, now()
FROM generate_series(%(start)s::timestamp, %(end)s::timestamp, interval '1 day') AS d(day)
LEFT JOIN happened h ON h.day = d.day::date
GROUP BY d.day ORDER BY d.day
"""

_FOLD = """
WITH batch AS (
    SELECT id FROM analytics_deltas ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), folded AS (
    DELETE FROM analytics_deltas d USING batch WHERE d.id = batch.id
    RETURNING d.day, d.user_id, d.status, d.change
), changed AS (
    SELECT day, user_id, status, sum(change) AS change, count(*) AS deltas FROM folded
    GROUP BY day, user_id, status ORDER BY user_id, day, status
), written AS (
    INSERT INTO analytics_rollups AS r (day, user_id, status, tasks)
    SELECT day, user_id, status, change FROM changed WHERE change <> 0
    ON CONFLICT (user_id, day, status) DO UPDATE SET tasks = r.tasks + excluded.tasks
)
SELECT coalesce(sum(deltas), 0)::bigint FROM changed
"""

_REBUILD = """
INSERT INTO analytics_rollups (day, user_id, status, tasks)
SELECT (created_at AT TIME ZONE 'UTC')::date, user_id, status, count(*) FROM tasks GROUP BY 1, 2, 3
"""


@dataclass(frozen=True, slots=True)
class Figures:
    """How many tasks there are by status and by owner, exact at `as_of`."""

    by_status: dict[str, int]
    by_user: dict[str, int]
    as_of: datetime


@dataclass(frozen=True, slots=True)
class _Range:
    """A range of time as whole days of UTC, both ends included and None without a bound, and parts of such days."""

    first: date | None
    last: date | None
    parts: list[tuple[datetime, datetime]]


def read_figures(actor: Actor, start: date | None = None, end: date | None = None) -> Figures:
    """Count the caller's own tasks, or all for an admin, that were created from `start` to `end`.

    These are days in the caller's time zone. Both are included, and each may be left out.
    """
    found = _range(start, end, actor.zone)
    parameters = {
        "start": found.first,
        "end": found.last,
        "begins": [begin for begin, _ in found.parts],
        "ends": [after for _, after in found.parts],
        "user_id": None if sees_all_analytics(actor) else actor.user_id,
    }
    rows = read(_statement(found), parameters).fetch_all()
    by_status = dict.fromkeys(STATUSES, 0)
    by_user: dict[str, int] = {}
    for username, *numbers, _ in rows:
        if username is not None:
            by_user[username] = sum(numbers)
            for status, number in zip(STATUSES, numbers, strict=True):
                by_status[status] += number
    return Figures(by_status, by_user, as_of=rows[0][-1])


def _statement(found: _Range) -> str:
    if found.parts:
        return _FIGURES_IN_RANGE
    return _FIGURES_EVER if found.first is None and found.last is None else _FIGURES_OF_DAYS


def _range(start: date | None, end: date | None, zone: ZoneInfo) -> _Range:
    """Return the range of days of a time zone. In UTC it has no parts of days."""
    first, last, parts = start, end, []
    if start is not None:
        begin = beginning_of(start, zone)
        first = begin.date() if begin == beginning_of(begin.date(), UTC) else begin.date() + _DAY
        parts.append((begin, beginning_of(first, UTC)))
    if end is not None:
        after = end_of(end, zone)
        last = after.date() - _DAY
        parts.append((beginning_of(after.date(), UTC), after))
    return _Range(first, last, [part for part in parts if part[0] < part[1]])


@dataclass(frozen=True, slots=True)
class DayFigures:
    """How many tasks were created and done on a day, and how many missed a deadline of that day and are still open."""

    day: date
    created: int
    done: int
    overdue: int


@dataclass(frozen=True, slots=True)
class FiguresByDay:
    """The figures of each day of a span, exact at `as_of`."""

    days: list[DayFigures]
    as_of: datetime


def read_figures_by_day(actor: Actor, start: date, end: date, zone: str) -> FiguresByDay:
    """Count what happened on each day from `start` to `end` (both included) in a time zone of the IANA database.

    The caller's own tasks count, or all tasks for an admin.
    """
    user_id = None if sees_all_analytics(actor) else actor.user_id
    rows = read(_FIGURES_BY_DAY, {"start": start, "end": end, "zone": zone, "user_id": user_id}).fetch_all()
    return FiguresByDay([DayFigures(*row[:4]) for row in rows], as_of=rows[0][4])


@jobs.ANALYTICS_FOLD.work
def fold_waiting(_context: JobContext) -> int:
    """Fold the waiting deltas, up to a limit; returns how many there were."""
    total = 0
    for _ in range(_BATCHES):
        folded = fold(_BATCH)
        total += folded
        if folded < _BATCH:
            break
    return total


@jobs.ANALYTICS_FOLD.when
def has_waiting(_context: JobContext) -> bool:
    """Whether any delta waits to be folded."""
    return bool(read("SELECT EXISTS (SELECT FROM analytics_deltas)").fetch_value())


def fold(limit: int = _BATCH) -> int:
    """Add up to `limit` deltas to the rollups; returns how many there were. Several may run at the same time."""
    with unit_of_work():
        folded: int = write(_FOLD, {"limit": limit}).fetch_value()
    return folded


def rebuild() -> None:
    """Count all tasks again, for an operator who has changed tasks in the database by hand.

    Changes of tasks wait while this runs; reading does not.
    """
    with unit_of_work():
        write("LOCK TABLE tasks IN SHARE ROW EXCLUSIVE MODE")
        write("LOCK TABLE analytics_rollups IN SHARE ROW EXCLUSIVE MODE")
        write("DELETE FROM analytics_deltas")
        write("DELETE FROM analytics_rollups")
        # A trigger adds the new rollups to the totals.
        write("DELETE FROM task_totals")
        write(_REBUILD)
