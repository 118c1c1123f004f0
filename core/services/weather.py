"""Bring the weather to the tasks that wait for it: cached for an hour, one flight a city, retried, then given up.

The tasks themselves say what is to be done: a row that is `pending` waits, `weather_next_attempt_at` says since when
or until when, and `weather_attempts` counts the starts, also of those that killed their process. A lost job is
therefore only late: `overdue_cities()` finds its tasks again.
"""

import random
from typing import Any, Final

import orjson
import structlog
from redis import Redis
from redis.exceptions import RedisError

from core import events
from core.config import Settings
from core.db import exclusive, read, unit_of_work, write
from core.weather import CityNotFound, ProviderUnavailable, WeatherProvider

log = structlog.get_logger()

_BATCH: Final = 500
_LONGEST_WAIT_SECONDS: Final = 300
_UNKNOWN_CITY: Final = b"null"
_SWEEP_GRACE_SECONDS: Final = 3

_CLAIM = """
UPDATE tasks SET weather_attempts = weather_attempts + 1,
    weather_next_attempt_at = now() + make_interval(secs => least(
        %(first_wait)s * power(2, weather_attempts), %(longest_wait)s) * %(jitter)s)
WHERE city_key = %(city_key)s AND weather_status = 'pending' AND weather_next_attempt_at <= now()
RETURNING city
"""

_SETTLE = """
WITH batch AS (
    SELECT id FROM tasks
    WHERE city_key = %(city_key)s AND weather_status = 'pending' AND weather_attempts >= %(attempts)s
    ORDER BY id LIMIT %(limit)s FOR UPDATE)
UPDATE tasks t SET weather = %(weather)s, weather_status = %(status)s, weather_next_attempt_at = NULL,
    version = version + 1, updated_at = now()
FROM batch WHERE t.id = batch.id
RETURNING t.id
"""

_DUE = """
SELECT EXISTS (SELECT FROM tasks
    WHERE city_key = %(city_key)s AND weather_status = 'pending' AND weather_next_attempt_at <= now())
"""

_OVERDUE = """
SELECT DISTINCT city_key FROM tasks
WHERE weather_status = 'pending' AND weather_next_attempt_at <= now() - make_interval(secs => %(grace)s)
LIMIT %(limit)s
"""


def overdue_cities(limit: int) -> list[str]:
    """Up to `limit` cities whose tasks wait although their turn came seconds ago: their job was lost or put off."""
    rows = read(_OVERDUE, {"grace": _SWEEP_GRACE_SECONDS, "limit": limit}).fetch_all()
    return [key for (key,) in rows]


class WeatherService:
    """What a worker needs to enrich tasks: a provider, a cache, and the rules of patience from the settings."""

    def __init__(self, settings: Settings, provider: WeatherProvider, redis: Redis) -> None:
        self._provider = provider
        self._redis = redis
        self._cache_seconds = settings.weather_cache_seconds
        self._attempts = settings.weather_attempts
        self._first_wait = settings.weather_retry_seconds

    def enrich(self, city_key: str) -> None:
        """Bring the weather of one city to every task that waits for it.

        Where another process is at it, this one leaves at once: the other looks again after it has let go of the
        city, so it sees whatever began to wait before this call.
        """
        while True:
            with exclusive(f"allweather:weather:{city_key}") as held:
                if not held:
                    return
                self._end_what_kills(city_key)
                city = self._claim(city_key)
                if city is not None:
                    self._bring(city_key, city)
            if not _is_due(city_key):
                return

    def _end_what_kills(self, city_key: str) -> None:
        """Give up on tasks that wait after their last attempt: it did not fail, so it took its process along."""
        if given_up := _settle(city_key, weather=None, attempts=self._attempts):
            log.error("weather_job_kills", city=city_key, given_up=given_up)

    def _claim(self, city_key: str) -> str | None:
        """Count a start for each waiting task, before anything can go wrong, and answer how the city is spelled."""
        parameters = {
            "city_key": city_key,
            "first_wait": self._first_wait,
            "longest_wait": _LONGEST_WAIT_SECONDS,
            "jitter": random.uniform(0.5, 1.0),  # noqa: S311 - this spreads retries, it keeps no secret.
        }
        with unit_of_work():
            row = write(_CLAIM, parameters).fetch_one()
        return None if row is None else str(row[0])

    def _bring(self, city_key: str, city: str) -> None:
        try:
            weather = self._weather_of(city_key, city)
        except ProviderUnavailable as error:
            given_up = _settle(city_key, weather=None, attempts=self._attempts)
            log.warning("weather_outage", city=city, reason=str(error), given_up=given_up)
        else:
            _settle(city_key, weather=weather)

    def _weather_of(self, city_key: str, city: str) -> bytes | None:
        """The weather's JSON, or None where nobody knows the city; both are remembered."""
        cache_key = f"allweather:weather:{self._provider.name}:{city_key}"
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


def _is_due(city_key: str) -> bool:
    due = read(_DUE, {"city_key": city_key}).fetch_value()
    return bool(due)


def _settle(city_key: str, *, weather: bytes | None, attempts: int = 0) -> int:
    """End the waiting of a city's tasks, of those with at least so many attempts behind them; answers how many."""
    parameters = {
        "city_key": city_key,
        "attempts": attempts,
        "limit": _BATCH,
        "weather": None if weather is None else weather.decode(),
        "status": "unavailable" if weather is None else "ready",
    }
    kind = events.TASK_UPDATED if weather is None else events.TASK_ENRICHED
    total = 0
    while True:
        with unit_of_work():
            settled = [task_id for (task_id,) in write(_SETTLE, parameters).fetch_all()]
            for task_id in settled:
                events.record_task(kind, task_id, actor_id=None)
        total += len(settled)
        if len(settled) < _BATCH:
            return total
