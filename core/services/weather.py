"""Fetch the weather for the tasks that wait for it: with one search for each city, and one forecast for many places.

Columns of the table `tasks` say which tasks wait; `core.retries` explains these columns. A job does this for the cities
and places of many tasks together, and only one job at a time does it for a city.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import orjson
import structlog

from core import events, jobs
from core.config import Settings
from core.days import end_of, today_in
from core.db import read, unit_of_work
from core.events import TASK_CREATED, TASK_ENRICHED, TASK_UPDATED, Event
from core.jobs import JobContext, JobRequest
from core.retries import Outcome, RetryPolicy, WaitingWork, send_due
from core.services.forecast_changes import note_forecasts
from core.services.forecast_refresh import follow_up
from core.services.forecasts import read_forecasts
from core.services.new_places import count_new_places, new_places
from core.services.place_weather import CALLS_SIDE_BY_SIDE, current_weather, find_places
from core.services.weather_calls import WeatherCalls

log = structlog.get_logger()

_LONGEST_WAIT_SECONDS: Final = 300
# When calls are granted again, the tasks that waited for it are not tried all at once, but over a tenth of their wait.
_SHORTEST_SPREAD_SECONDS: Final = 1
_LONGEST_SPREAD_SECONDS: Final = 300
_READY: Final = "ready"
_UNAVAILABLE: Final = "unavailable"

# A task that names a place waits for this place, whatever its city is called.
_KEY: Final = "coalesce('place:' || place_id, city_key)"

_WANTED: Final = f"""
SELECT DISTINCT ON ({_KEY}) {_KEY}, city, place_id FROM tasks
WHERE {_KEY} = ANY(%(keys)s) AND weather_status = 'pending'
"""


def _record(statuses: Mapping[int, str | None]) -> None:
    for kind, is_ready in ((TASK_ENRICHED, True), (TASK_UPDATED, False)):
        if tasks := [task_id for task_id, status in statuses.items() if (status == _READY) == is_ready]:
            events.record_tasks(kind, tasks)


WAITING: Final[WaitingWork[str]] = WaitingWork(
    table="tasks",
    prefix="weather",
    key=_KEY,
    given_up=_UNAVAILABLE,
    also_set="""weather = end_result->'weather',
        place_id = coalesce((end_result->>'place_id')::bigint, settled.place_id),
        weather_next_attempt_at = NULL, version = version + 1, updated_at = now()""",
    record=_record,
)


@jobs.caused_by(TASK_CREATED, TASK_UPDATED)
def request_weather(event: Event) -> Iterator[JobRequest]:
    """Request weather, if the task waits for it.

    One request is enough for all tasks of a batch of events, because its job sends further ones.
    """
    if orjson.loads(event.data)["weather_status"] == "pending":
        yield jobs.WEATHER_ENRICH.request()


@jobs.WEATHER_ENRICH.work
def enrich(context: JobContext) -> int:
    """Fetch the weather for the cities whose turn it is; returns how many cities and places this were.

    A city belongs to the user whose turn it is, and the tasks of all users that wait for it get the result.
    """
    with WAITING.turns(CALLS_SIDE_BY_SIDE) as keys:
        if keys:
            _Enrichment(context).fetch_and_settle(keys)
    if keys:
        send_due(context, jobs.WEATHER_ENRICH, WAITING)
    return len(keys)


@jobs.WEATHER_SWEEP.work
def sweep(context: JobContext) -> int:
    """Send jobs for cities that are due; returns how many."""
    return send_due(context, jobs.WEATHER_ENRICH, WAITING)


@jobs.WEATHER_SWEEP.when
def is_overdue(_context: JobContext) -> bool:
    """Whether any city is overdue."""
    return WAITING.has_overdue()


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What tasks wait for: the weather of a place, or of a city whose place is not known yet."""

    city: str
    place_id: int | None


class _Enrichment:
    """Adds the weather to tasks, with the connections of a job and the retry policy of the settings."""

    def __init__(self, context: JobContext) -> None:
        self._context = context
        self._policy = _policy(context.settings)

    def fetch_and_settle(self, keys: Collection[str]) -> None:
        """Fetch the weather for all tasks that wait for these keys, on which no other process works now.

        Tasks that begin to wait meanwhile get the result too.
        """
        claimed = self._claim(keys)
        new, too_many = new_places(claimed, self._context.settings.weather_new_places_per_user_per_day)
        if too_many:
            ids = [row_id for key in too_many for row_id in claimed.pop(key)]
            self._postpone(ids, _next_day(), "too many new places of a user")
        if not claimed:
            return
        wanted = {key: _Wanted(*of_key) for key, *of_key in read(_WANTED, {"keys": list(claimed)}).fetch_all()}
        names = {key: of_key.city for key, of_key in wanted.items() if of_key.place_id is None}
        found = find_places(self._context, names)
        places = found.places | {key: of_key.place_id for key, of_key in wanted.items() if of_key.place_id is not None}
        place_ids = {place_id for place_id in places.values() if place_id is not None}
        weather = current_weather(self._context, place_ids)
        outcomes = {
            key: _outcome(place_id, weather.current)
            for key, place_id in places.items()
            if place_id is None or place_id in weather.current
        }
        WAITING.settle(outcomes)
        refused = {key for key, place_id in places.items() if place_id in weather.refused} | {*found.refused}
        if failed := wanted.keys() - outcomes.keys() - refused:
            reason = found.failure or weather.failure or "There is no weather for some places."
            given_up = WAITING.give_up(failed, self._policy, reason)
            log.warning("weather_outage", cities=len(failed), reason=reason, given_up=given_up)
        if asked := [user_id for key, user_id in new.items() if key not in refused]:
            count_new_places(asked)
        if refused:
            until = WeatherCalls(self._context.settings, self._context.weather).refused_until()
            self._postpone([row_id for key in refused for row_id in claimed[key]], until, "no calls")
        follow_up(weather.forecasts)
        if others := place_ids - weather.forecasts.keys():
            note_forecasts(read_forecasts(others))

    def _postpone(self, task_ids: Collection[int], until: datetime, reason: str) -> None:
        """Let tasks for which the provider may not be asked wait, as if they had not been tried."""
        wait = max((until - datetime.now(UTC)).total_seconds(), 0)
        WAITING.postpone(task_ids, until, min(_SHORTEST_SPREAD_SECONDS + wait / 10, _LONGEST_SPREAD_SECONDS))
        log.info("weather_postponed", tasks=len(task_ids), until=until, reason=reason)

    def _claim(self, keys: Collection[str]) -> dict[str, list[int]]:
        with unit_of_work():
            if given_up := WAITING.give_up_lost(keys, self._policy):
                log.error("weather_job_kills", cities=sorted(keys), given_up=given_up)
            return WAITING.claim(keys, self._policy)


def _next_day() -> datetime:
    return end_of(today_in(UTC), UTC)


def _policy(settings: Settings) -> RetryPolicy:
    return RetryPolicy(settings.weather_attempts, settings.weather_retry_seconds, _LONGEST_WAIT_SECONDS)


def _outcome(place_id: int | None, current: Mapping[int, bytes]) -> Outcome:
    if place_id is None:
        return Outcome(_UNAVAILABLE)
    return Outcome(_READY, f'{{"place_id":{place_id},"weather":{current[place_id].decode()}}}')
