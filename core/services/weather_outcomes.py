"""What the weather has done to tasks: how many were warned, moved, and done in spite of a warning, for each place.

Each of these is recorded in the transaction in which it happens, so the figures are never counted from the tasks, and
stay when a task is deleted.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from core.days import beginning_of, end_of
from core.db import read, write
from core.policy import Actor, sees_all_analytics

WARNED: Final = "warned"
MOVED: Final = "moved"
DONE: Final = "done"

_RECORD = """
INSERT INTO weather_outcomes (kind, task_id, user_id, place_id)
SELECT %(kind)s, id, user_id, place_id FROM tasks WHERE id = %(task_id)s
"""

# The first grouping set is the total. A task that was moved to another place counts there too, but once in the total.
_FIGURES = """
WITH figures AS (
    SELECT place_id, GROUPING(place_id) = 1 AS is_total,
           count(DISTINCT task_id) FILTER (WHERE kind = 'warned') AS warned,
           count(DISTINCT task_id) FILTER (WHERE kind = 'moved') AS moved,
           count(DISTINCT task_id) FILTER (WHERE kind = 'done') AS done
    FROM weather_outcomes
    WHERE (%(begin)s::timestamptz IS NULL OR at >= %(begin)s) AND (%(end)s::timestamptz IS NULL OR at < %(end)s)
      AND (%(user_id)s::bigint IS NULL OR user_id = %(user_id)s)
    GROUP BY GROUPING SETS ((), (place_id))
)
SELECT f.is_total, now(), f.place_id, p.name, p.country_code, f.warned, f.moved, f.done
FROM figures f LEFT JOIN places p ON p.id = f.place_id
ORDER BY f.is_total DESC, f.warned DESC, f.place_id LIMIT 1 + %(places)s
"""
# Whoever has tasks at very many points would otherwise make responses of many megabytes.
_MOST_PLACES: Final = 100


@dataclass(frozen=True, slots=True)
class WeatherFigures:
    """How many tasks were warned, moved, and done in spite of it, in all and by place; exact at `as_of`.

    `by_place` has the hundred places with the most warned tasks.
    """

    total: dict[str, int]
    by_place: list[dict[str, Any]]
    as_of: datetime


def record_outcome(kind: str, task_id: int) -> None:
    """Record `WARNED`, `MOVED` or `DONE` (in spite of a warning) for a task, in the running unit of work."""
    write(_RECORD, {"kind": kind, "task_id": task_id})


def read_weather_figures(actor: Actor, start: date | None = None, end: date | None = None) -> WeatherFigures:
    """Count what happened from `start` to `end` to the caller's tasks, for an admin to all.

    These are days in the caller's time zone, both included. A task counts once for each kind, however often it was
    warned or moved.
    """
    parameters = {
        "begin": None if start is None else beginning_of(start, actor.zone),
        "end": None if end is None else end_of(end, actor.zone),
        "places": _MOST_PLACES,
        "user_id": None if sees_all_analytics(actor) else actor.user_id,
    }
    total, *places = read(_FIGURES, parameters).fetch_all()
    _, as_of, *_, warned, moved, done = total
    return WeatherFigures(
        total=_counts(warned, moved, done),
        by_place=[
            {"place_id": place_id, "name": name, "country_code": country_code} | _counts(*counts)
            for _, _, place_id, name, country_code, *counts in places
        ],
        as_of=as_of,
    )


def _counts(warned: int, moved: int, done: int) -> dict[str, int]:
    return {"warned": warned, "moved": moved, "done_in_spite": done}
