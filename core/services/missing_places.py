"""Give a place to open tasks that have none yet, a few at a time.

These are tasks from before there were places, and tasks whose weather could not be fetched when they were new. Only
tasks with a deadline inside the horizon of forecasts are looked at, since the others need no forecast now.
"""

from typing import Final

from core.db import read, unit_of_work, write
from core.jobs import JobContext
from core.services.forecasts import read_forecasts
from core.services.place_weather import CALLS_SIDE_BY_SIDE, fetch_weather, find_places
from core.services.places import IS_FRESH
from core.weather.forecast import Forecast

_TASKS: Final = 1000

# The condition is that of the index `tasks_without_forecast`. A name that the provider lately did not know is left
# alone, and so is a task whose place has a forecast, although its weather has become `unavailable`.
_WITHOUT_FORECAST: Final = f"""
SELECT t.id, t.city_key, t.city, t.place_id FROM tasks t
WHERE t.status <> 'done' AND ((t.place_id IS NULL AND t.weather_status = 'ready') OR t.weather_status = 'unavailable')
    AND t.due_at BETWEEN now() AND now() + interval '16 days'
    AND NOT EXISTS (SELECT FROM place_names n WHERE t.place_id IS NULL AND n.key = t.city_key
                    AND cardinality(n.place_ids) = 0 AND {IS_FRESH})
    AND NOT EXISTS (SELECT FROM forecasts f WHERE f.place_id = t.place_id)
ORDER BY t.due_at LIMIT %(limit)s
"""
_HAS_WORK: Final = f"SELECT EXISTS ({_WITHOUT_FORECAST})"

_PLACE: Final = """
WITH placed AS (
    SELECT t.id AS task_id, found.place_id
    FROM unnest(%(keys)s::text[], %(place_ids)s::bigint[]) AS found (key, place_id)
    JOIN tasks t ON t.city_key = found.key
    WHERE t.id = ANY(%(task_ids)s) AND t.place_id IS NULL AND t.weather_status <> 'pending'
    ORDER BY t.id FOR UPDATE OF t)
UPDATE tasks SET place_id = placed.place_id FROM placed WHERE id = task_id
"""


def has_work() -> bool:
    """Whether an open task with a near deadline could get a place or a forecast."""
    return bool(read(_HAS_WORK, {"limit": 1}).fetch_value())


def place_tasks(context: JobContext) -> dict[int, Forecast]:
    """Find the places of some tasks, fetch their forecasts, and then give the tasks their places.

    Returns the forecasts of these places. A task gets its place after its forecast was stored, so if this is
    interrupted, the task is found again.
    """
    rows = read(_WITHOUT_FORECAST, {"limit": _TASKS}).fetch_all()
    names: dict[str, str] = {}
    ids: list[int] = []
    places: set[int] = set()
    for task_id, key, city, place_id in rows:
        if place_id is not None:
            places.add(place_id)
        elif key in names or len(names) < CALLS_SIDE_BY_SIDE:
            names[key] = city
            ids.append(task_id)
    found = {key: place_id for key, place_id in find_places(context, names).places.items() if place_id is not None}
    forecasts = _with_forecast(context, sorted(places | set(found.values())))
    placed = {key: place_id for key, place_id in found.items() if place_id in forecasts}
    if placed:
        with unit_of_work():
            write(_PLACE, {"keys": list(placed), "place_ids": list(placed.values()), "task_ids": ids})
    return forecasts


def _with_forecast(context: JobContext, place_ids: list[int]) -> dict[int, Forecast]:
    stored = read_forecasts(place_ids)
    return stored | fetch_weather(context, [place_id for place_id in place_ids if place_id not in stored]).forecasts
