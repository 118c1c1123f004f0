"""Bring the weather to the tasks that wait for it: cached for an hour, one request for each city at a time.

The tasks themselves say what is to be done, in columns that `core.retries` explains.
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
from core.retries import Patience, WaitingWork, send_overdue
from core.weather import CityNotFound, ProviderUnavailable, WeatherProvider, city_key

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
    """A task that waits for weather asks for that of its city."""
    task = orjson.loads(event.data)
    if task["weather_status"] == "pending":
        yield jobs.WEATHER_ENRICH.request(city_key(task["city"]))


@jobs.WEATHER_ENRICH.work
def enrich(context: JobContext, key: str) -> None:
    """Bring the weather of one city to every task that waits for it."""
    WeatherService(context.settings, context.weather, context.redis).enrich(key)


@jobs.WEATHER_SWEEP.work
def sweep(context: JobContext) -> int:
    """Send jobs for cities that wait although their turn has come; returns how many."""
    return send_overdue(context, jobs.WEATHER_ENRICH, WAITING)


@jobs.WEATHER_SWEEP.when
def is_overdue(_context: JobContext) -> bool:
    """Whether any city waits although its turn has come."""
    return WAITING.has_overdue()


class WeatherService:
    """What is needed to enrich tasks: a provider, a cache, and how often and when to try, from the settings."""

    def __init__(self, settings: Settings, provider: WeatherProvider, redis: Redis) -> None:
        self._provider = provider
        self._redis = redis
        self._cache_seconds = settings.weather_cache_seconds
        self._patience = Patience(settings.weather_attempts, settings.weather_retry_seconds, _LONGEST_WAIT_SECONDS)

    def enrich(self, key: str) -> None:
        """Bring the weather of one city to every task that waits for it.

        Where another process does so already, this one returns at once: the other looks again after it has released
        the city's lock, so it sees whatever began to wait before this call.
        """
        while True:
            with exclusive(f"allweather:weather:{key}") as held:
                if not held:
                    return
                if given_up := WAITING.give_up_lost(key, self._patience):
                    log.error("weather_job_kills", city=key, given_up=given_up)
                if WAITING.claim(key, self._patience):
                    self._bring(key)
            if not WAITING.is_due(key):
                return

    def _bring(self, key: str) -> None:
        spelling = read(_SPELLING, {"key": key}).fetch_one()
        if spelling is None:
            return
        (city,) = spelling
        try:
            weather = self._weather_of(key, city)
        except ProviderUnavailable as error:
            given_up = WAITING.give_up(key, self._patience)
            log.warning("weather_outage", city=city, reason=str(error), given_up=given_up)
        else:
            WAITING.settle(key, _UNAVAILABLE if weather is None else _READY, weather and weather.decode())

    def _weather_of(self, key: str, city: str) -> bytes | None:
        """The weather's JSON, or None where the provider does not know the city; both are cached."""
        cache_key = f"allweather:weather:{self._provider.name}:{key}"
        cached = self._cached(cache_key)
        if cached is not None:
            return None if cached == _UNKNOWN_CITY else cached
        try:
            weather = orjson.dumps(self._provider.current(city).as_dict())
        except CityNotFound:
            self._remember(cache_key, _UNKNOWN_CITY)
            return None
        self._remember(cache_key, weather)
        return weather

    def _cached(self, key: str) -> bytes | None:
        try:
            cached: Any = self._redis.get(key)
        except RedisError:
            log.warning("weather_cache_unreachable")
            return None
        return cached if cached is None else bytes(cached)

    def _remember(self, key: str, value: bytes) -> None:
        try:
            self._redis.set(key, value, ex=self._cache_seconds)
        except RedisError:
            log.warning("weather_cache_unreachable")
