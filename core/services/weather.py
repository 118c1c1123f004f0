"""Fetch the weather for the tasks that wait for it: it is cached, with one request for each city at a time.

Columns of the table `tasks` say which tasks wait; `core.retries` explains these columns.
"""

from collections.abc import Iterator
from typing import Any, Final

import orjson
import structlog
from redis import Redis
from redis.exceptions import RedisError

from core import events, jobs
from core.config import Settings
from core.db import exclusive, read
from core.events import TASK_CREATED, TASK_ENRICHED, TASK_UPDATED, Event
from core.jobs import JobContext, JobRequest
from core.retries import RetryPolicy, WaitingWork, send_due
from core.weather import CityNotFound, ProviderUnavailable, WeatherProvider

log = structlog.get_logger()

_LONGEST_WAIT_SECONDS: Final = 300
_UNKNOWN_CITY: Final = b"null"
_READY: Final = "ready"
_UNAVAILABLE: Final = "unavailable"

_SPELLING = "SELECT city FROM tasks WHERE city_key = %(key)s AND weather_status = 'pending' LIMIT 1"


def _record(task_id: int, status: str | None) -> None:
    events.record_task(TASK_ENRICHED if status == _READY else TASK_UPDATED, task_id, actor_id=None)


WAITING: Final[WaitingWork[str]] = WaitingWork(
    table="tasks",
    prefix="weather",
    key="city_key",
    given_up=_UNAVAILABLE,
    also_set="weather = %(result)s, weather_next_attempt_at = NULL, version = version + 1, updated_at = now()",
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
    """Fetch the weather of the city whose turn it is; returns how many cities this were, 0 or 1.

    A city belongs to the user whose turn it is, and the tasks of all users that wait for it get the result.
    """
    key = WAITING.next_key()
    if key is None:
        return 0
    WeatherService(context.settings, context.weather, context.redis).enrich(key)
    send_due(context, jobs.WEATHER_ENRICH, WAITING)
    return 1


@jobs.WEATHER_SWEEP.work
def sweep(context: JobContext) -> int:
    """Send jobs for cities that are due; returns how many."""
    return send_due(context, jobs.WEATHER_ENRICH, WAITING)


@jobs.WEATHER_SWEEP.when
def is_overdue(_context: JobContext) -> bool:
    """Whether any city is overdue."""
    return WAITING.has_overdue()


class WeatherService:
    """Adds the weather to tasks, with a provider, a cache, and the retry policy of the settings."""

    def __init__(self, settings: Settings, provider: WeatherProvider, redis: Redis) -> None:
        self._provider = provider
        self._redis = redis
        self._cache_seconds = settings.weather_cache_seconds
        self._policy = RetryPolicy(settings.weather_attempts, settings.weather_retry_seconds, _LONGEST_WAIT_SECONDS)

    def enrich(self, key: str) -> None:
        """Fetch the weather of one city for all tasks that wait for it.

        If another process is doing this for the city, this one returns at once. The other process checks again after it
        has released the city's lock, so it finds all tasks that began to wait before this call.
        """
        while True:
            with exclusive(f"allweather:weather:{key}") as held:
                if not held:
                    return
                if given_up := WAITING.give_up_lost(key, self._policy):
                    log.error("weather_job_kills", city=key, given_up=given_up)
                if WAITING.claim(key, self._policy):
                    self._fetch_and_settle(key)
            if not WAITING.is_due(key):
                return

    def _fetch_and_settle(self, key: str) -> None:
        spelling = read(_SPELLING, {"key": key}).fetch_one()
        if spelling is None:
            return
        (city,) = spelling
        try:
            weather = self._weather_of(key, city)
        except ProviderUnavailable as error:
            given_up = WAITING.give_up(key, self._policy)
            log.warning("weather_outage", city=city, reason=str(error), given_up=given_up)
        else:
            WAITING.settle(key, _UNAVAILABLE if weather is None else _READY, weather and weather.decode())

    def _weather_of(self, key: str, city: str) -> bytes | None:
        """Return the weather as JSON, or None if the provider does not find the city; both are cached."""
        cache_key = f"allweather:weather:{self._provider.name}:{key}"
        cached = self._cached(cache_key)
        if cached is not None:
            return None if cached == _UNKNOWN_CITY else cached
        try:
            weather = orjson.dumps(self._provider.current(city).as_dict())
        except CityNotFound:
            self._store_in_cache(cache_key, _UNKNOWN_CITY)
            return None
        self._store_in_cache(cache_key, weather)
        return weather

    def _cached(self, key: str) -> bytes | None:
        try:
            cached: Any = self._redis.get(key)
        except RedisError:
            log.warning("weather_cache_unreachable")
            return None
        return cached if cached is None else bytes(cached)

    def _store_in_cache(self, key: str, value: bytes) -> None:
        try:
            self._redis.set(key, value, ex=self._cache_seconds)
        except RedisError:
            log.warning("weather_cache_unreachable")
