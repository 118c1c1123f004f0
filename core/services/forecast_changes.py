"""Tell listeners that the forecast of a task has changed, but only if people may decide differently because of it.

The column `forecast_told` of a task has what was told last, and of which time (its `due_at`) and place. New forecasts
are compared with it, so that many small changes together are told too. Where there is nothing to compare with, it is
written without telling anybody. The UPDATE checks the old value in the transaction that records the event, so each
change is told once.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from core import events
from core.db import read, unit_of_work, write
from core.models.place import forecast_time_of_task
from core.weather.changes import changes, summary, with_unknown_from
from core.weather.forecast import Forecast

_PAGE: Final = 2000

_TIME: Final = forecast_time_of_task("t")

# The pages follow the order of the index `tasks_place`.
_TASKS: Final = f"""
SELECT t.place_id, t.due_at, t.id, {_TIME}, t.forecast_told::text,
       (coalesce(nullif(t.weather_rule::text, '{{}}')::json, u.weather_rule)->>'max_rain_probability')::float
FROM tasks t JOIN users u ON u.id = t.user_id
WHERE t.place_id = ANY(%(place_ids)s) AND t.status <> 'done' AND t.due_at >= now()
    AND (t.place_id, t.due_at, t.id) > (%(place_id)s, %(due_at)s, %(id)s)
    AND (%(all)s OR t.forecast_told IS NULL OR (t.forecast_told->>'due_at')::timestamptz <> {_TIME}
         OR (t.forecast_told->>'place_id')::bigint <> t.place_id)
ORDER BY t.place_id, t.due_at, t.id LIMIT %(limit)s
"""

# The tasks are locked in the order of their ids, and only if they are as they were read. If the forecast was replaced
# meanwhile, nothing is told, since the process that has stored the newer one compares that.
_TOLD: Final = """
WITH told AS (SELECT * FROM json_to_recordset(%(rows)s)
                  AS row (id bigint, place_id bigint, due_at timestamptz, fetched_at timestamptz, was text, told json,
                          more json)),
unchanged AS (
    SELECT t.id FROM tasks t JOIN told USING (id)
    WHERE t.forecast_told::text IS NOT DISTINCT FROM told.was AND t.place_id = told.place_id
        AND t.due_at = told.due_at AND t.status <> 'done'
        AND NOT EXISTS (SELECT FROM forecasts f WHERE f.place_id = told.place_id AND f.fetched_at > told.fetched_at)
    ORDER BY t.id FOR UPDATE OF t),
t AS (
    UPDATE tasks SET forecast_told = told.told FROM unchanged JOIN told USING (id) WHERE tasks.id = unchanged.id
    RETURNING tasks.*, told.more)
"""

_TELL: Final = f"{_TOLD}, {events.recording('t', keeps_history=False, more='t.more')}"
_NOTE: Final = f"{_TOLD} SELECT id FROM t"


@dataclass(frozen=True, slots=True)
class _Task:
    place_id: int
    due_at: datetime
    id: int
    forecast_time: datetime
    told: str | None
    rain_threshold: float | None


def tell_changes(forecasts: Mapping[int, Forecast]) -> int:
    """Tell what has changed for the open tasks of places, by the places' new forecasts; returns for how many tasks.

    Calling it again with the same forecasts tells nothing.
    """
    return _compare(forecasts, all_tasks=True)


def note_forecasts(forecasts: Mapping[int, Forecast]) -> None:
    """Write what tasks whose place or deadline is new are compared with later; the others are not looked at."""
    _compare(forecasts, all_tasks=False)


def _compare(forecasts: Mapping[int, Forecast], *, all_tasks: bool) -> int:
    told = 0
    for page in _pages(list(forecasts), all_tasks=all_tasks):
        rows = [row for task in page if (row := _row(task, forecasts[task.place_id]))]
        silent = [row for row in rows if row["more"] is None]
        loud = [row for row in rows if row["more"] is not None]
        # Each is a transaction of its own, since only the rows of one statement are locked in the order of their ids.
        if silent:
            with unit_of_work():
                write(_NOTE, {"rows": orjson.dumps(silent).decode()})
        if loud:
            with unit_of_work():
                parameters = {"rows": orjson.dumps(loud).decode()}
                told += len(events.record_set(_TELL, events.TASK_FORECAST_CHANGED, parameters))
    return told


def _pages(place_ids: list[int], *, all_tasks: bool) -> Iterator[list[_Task]]:
    after: dict[str, Any] = {"place_id": 0, "due_at": "-infinity", "id": 0}
    while place_ids:
        found = read(_TASKS, after | {"place_ids": place_ids, "all": all_tasks, "limit": _PAGE}).fetch_all()
        page = [_Task(*row) for row in found]
        yield page
        if len(page) < _PAGE:
            return
        after = {"place_id": page[-1].place_id, "due_at": page[-1].due_at, "id": page[-1].id}


def _is_about_another(task: _Task, told: Mapping[str, Any]) -> bool:
    return told["place_id"] != task.place_id or datetime.fromisoformat(told["due_at"]) != task.forecast_time


def _row(task: _Task, forecast: Forecast) -> dict[str, Any] | None:
    """Return what to write, with `more` for the event if something is to be told, or None for nothing."""
    hour = forecast.at(task.forecast_time)
    if hour is None or forecast.at(task.due_at) is None:
        return None
    now = summary(hour)
    about = {"due_at": task.forecast_time, "place_id": task.place_id}
    row = {
        "id": task.id,
        "place_id": task.place_id,
        "due_at": task.due_at,
        "fetched_at": forecast.fetched_at,
        "was": task.told,
        "more": None,
    }
    told = None if task.told is None else orjson.loads(task.told)
    if told is None or _is_about_another(task, told):
        return row | {"told": now | about}
    if changed := changes(told, now, task.rain_threshold):
        return row | {"told": with_unknown_from(now, told) | about, "more": {"changed": changed}}
    completed = with_unknown_from(told, now)
    return row | {"told": completed | about} if any(completed[name] != told[name] for name in completed) else None
