"""Keep the forecasts of places fresh where open tasks have a deadline, the nearest deadlines first.

`refresh_at` is when to look at a place again: an hour after the last fetch if a deadline is within 24 hours, three
hours within three days, and twelve hours as far as the forecast reaches. By chance it is up to a fifth earlier, so that
places do not all become due together. It is computed again whenever a place is looked at, so a place without open tasks
costs no call.

What follows from a new forecast may be interrupted. `acted_on_at` says for which forecast it was done to the end.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Final

import orjson
import structlog

from core import jobs
from core.db import exclusive, read, unit_of_work, write
from core.events import TASK_CREATED, TASK_UPDATED, Event
from core.jobs import JobContext, JobRequest
from core.services import missing_places
from core.services.auto_reschedule import auto_reschedule_place
from core.services.forecast_changes import note_forecasts, tell_changes
from core.services.forecasts import read_forecasts
from core.services.place_weather import CALLS_SIDE_BY_SIDE, fetch_weather
from core.services.weather_rules import judge_place
from core.weather.forecast import Forecast

log = structlog.get_logger()

# A forecast of 16 days takes about 0.1 MB of memory, and as long as this many take, no other job of the process runs.
_PLACES: Final = 200
_SECONDS_AFTER_FAILURE: Final = 600
_SECONDS_UNTIL_LOST: Final = 60
_LOOKED_AT: Final = 1000
_LOCK: Final = "allweather:forecasts"

_SCHEDULE: Final = """
WITH place AS (
    SELECT f.place_id, 0.8 + 0.2 * random() AS jitter,
           (SELECT min(t.due_at) FROM tasks t
            WHERE t.place_id = f.place_id AND t.status <> 'done' AND t.due_at >= now()) AS nearest
    FROM forecasts f WHERE f.place_id = ANY(%(place_ids)s) ORDER BY f.place_id FOR UPDATE OF f)
UPDATE forecasts f SET nearest_due_at = nearest, refresh_at = CASE
    WHEN nearest IS NULL THEN now() + interval '1 day'
    ELSE least(
        greatest(fetched_at + interval '1 hour' * jitter, nearest - interval '24 hours'),
        greatest(fetched_at + interval '3 hours' * jitter, nearest - interval '3 days'),
        greatest(fetched_at + interval '12 hours' * jitter,
                 nearest - (starts_at + make_interval(mins => cardinality(temperature) * step_minutes) - fetched_at)),
        now() + interval '1 day') END
FROM place WHERE f.place_id = place.place_id
"""

# Places without a known deadline ahead: they are new, or the deadline has passed.
_TO_LOOK_AT: Final = """
SELECT place_id FROM forecasts WHERE refresh_at <= now() AND (nearest_due_at IS NULL OR nearest_due_at < now())
ORDER BY refresh_at LIMIT %(limit)s
"""

_DUE: Final = """
SELECT place_id FROM forecasts
WHERE refresh_at <= now() AND nearest_due_at >= now() AND (%(place_ids)s IS NULL OR place_id = ANY(%(place_ids)s))
ORDER BY nearest_due_at LIMIT %(limit)s
"""

# The places are looked at again in any case, also if the process is killed while it fetches them.
_PUT_OFF: Final = """
UPDATE forecasts SET refresh_at = now() + make_interval(secs => %(seconds)s) WHERE place_id IN (
    SELECT place_id FROM forecasts WHERE place_id = ANY(%(place_ids)s) ORDER BY place_id FOR UPDATE)
"""

# Rows are locked in the order of their ids. A forecast that was replaced meanwhile is left to whoever has replaced it.
_ACTED: Final = """
WITH acted AS (
    SELECT f.place_id, acted.fetched_at
    FROM unnest(%(place_ids)s::bigint[], %(fetched)s::timestamptz[]) AS acted (place_id, fetched_at)
    JOIN forecasts f ON f.place_id = acted.place_id AND f.fetched_at = acted.fetched_at
    ORDER BY f.place_id FOR NO KEY UPDATE OF f)
UPDATE forecasts f SET acted_on_at = acted.fetched_at FROM acted WHERE f.place_id = acted.place_id
"""

_NOT_ACTED_ON: Final = """
SELECT place_id FROM forecasts
WHERE acted_on_at IS DISTINCT FROM fetched_at AND fetched_at < now() - make_interval(secs => %(seconds)s)
ORDER BY fetched_at LIMIT %(limit)s
"""

_HAS_WORK: Final = f"""
SELECT EXISTS (SELECT FROM forecasts WHERE refresh_at <= now())
    OR EXISTS ({_NOT_ACTED_ON})
"""


@jobs.caused_by(TASK_CREATED, TASK_UPDATED)
def follow_task(event: Event) -> Iterator[JobRequest]:
    """Look at the place of a task that was changed, unless the enrichment of the task will do it."""
    task = orjson.loads(event.data)
    # An event of a release that knew no places lacks the field, and may be published by this one.
    if task.get("place") and task["due_at"] and task["status"] != "done" and task["weather_status"] != "pending":
        yield jobs.FORECASTS_FOLLOW.request(task["place"]["id"])


@jobs.FORECASTS_FOLLOW.work
def follow(_context: JobContext, place_id: int) -> int:
    """Compute when to look at a place again, and note what its new and moved tasks are compared with; returns 1."""
    with unit_of_work():
        write(_SCHEDULE, {"place_ids": [place_id]})
    note_forecasts(read_forecasts([place_id]))
    return 1


@jobs.FORECASTS_REFRESH.work
def refresh(context: JobContext) -> int:
    """Do one round of what is due; returns for how many places something was done.

    If all calls have succeeded and more is due, the next round is a further job, so that other jobs get their turn.
    """
    with exclusive(_LOCK) as held:
        if not held:
            return 0
        looked_at = _look_at_idle()
        fetched = _refresh_due(context)
        placed = missing_places.place_tasks(context)
        follow_up(placed)
        repeated = _repeat_lost()
    if fetched == _most_places(context) and _has_work():
        context.send(jobs.FORECASTS_REFRESH)
    return looked_at + fetched + len(placed) + repeated


@jobs.FORECASTS_REFRESH.when
def has_work(_context: JobContext) -> bool:
    """Whether a place is to be looked at, what follows from a forecast was interrupted, or tasks have no place."""
    return _has_work() or missing_places.has_work()


def follow_up(forecasts: Mapping[int, Forecast]) -> None:
    """Do what follows from new forecasts, by the ids of their places, after they were stored."""
    if forecasts:
        with unit_of_work():
            write(_SCHEDULE, {"place_ids": list(forecasts)})
        _act_on(forecasts)


def _act_on(forecasts: Mapping[int, Forecast]) -> None:
    """Do what may be repeated, and then note that it was done."""
    tell_changes(forecasts)
    for place_id, forecast in forecasts.items():
        judge_place(place_id, forecast)
        auto_reschedule_place(place_id)
    fetched = [forecast.fetched_at for forecast in forecasts.values()]
    with unit_of_work():
        write(_ACTED, {"place_ids": list(forecasts), "fetched": fetched})


def _repeat_lost() -> int:
    rows = read(_NOT_ACTED_ON, {"seconds": _SECONDS_UNTIL_LOST, "limit": _PLACES}).fetch_all()
    place_ids = [place_id for (place_id,) in rows]
    if place_ids:
        follow_up(read_forecasts(place_ids))
    return len(place_ids)


def _look_at_idle() -> int:
    rows = read(_TO_LOOK_AT, {"limit": _LOOKED_AT}).fetch_all()
    if rows:
        with unit_of_work():
            write(_SCHEDULE, {"place_ids": [place_id for (place_id,) in rows]})
    return len(rows)


def _refresh_due(context: JobContext) -> int:
    """Fetch the forecasts that are due, the nearest deadlines first; returns how many were fetched."""
    candidates = _due(None, _most_places(context))
    if not candidates:
        return 0
    with unit_of_work():
        write(_SCHEDULE, {"place_ids": candidates})
    place_ids = _due(candidates, len(candidates))
    _put_off(place_ids, _SECONDS_AFTER_FAILURE)
    fetched = fetch_weather(context, place_ids)
    _put_off(fetched.refused, 0)
    if fetched.failure:
        log.warning("forecasts_not_refreshed", places=len(place_ids) - len(fetched.forecasts), reason=fetched.failure)
    follow_up(fetched.forecasts)
    return len(fetched.forecasts)


def _most_places(context: JobContext) -> int:
    return min(_PLACES, context.weather.points_per_call * CALLS_SIDE_BY_SIDE)


def _due(place_ids: list[int] | None, limit: int) -> list[int]:
    rows = read(_DUE, {"place_ids": place_ids, "limit": limit}).fetch_all()
    return [place_id for (place_id,) in rows]


def _put_off(place_ids: Collection[int], seconds: int) -> None:
    if place_ids:
        with unit_of_work():
            write(_PUT_OFF, {"place_ids": list(place_ids), "seconds": seconds})


def _has_work() -> bool:
    return bool(read(_HAS_WORK, {"seconds": _SECONDS_UNTIL_LOST, "limit": 1}).fetch_value())
