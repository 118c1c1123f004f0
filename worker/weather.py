"""Jobs of the weather."""

from typing import Any, Final

from core import jobs
from core.services.weather import WeatherService, overdue_cities
from core.weather import provider_for
from worker.app import app, redis, settings

# A longer queue means that the workers are behind; what waits in it need not be put there a second time.
_BACKLOG: Final = 500

_service = WeatherService(settings, provider_for(settings), redis)


@app.task(name=jobs.WEATHER_ENRICH)  # type: ignore[untyped-decorator]  # Celery ships no types.
def enrich(city_key: str) -> None:
    """Bring the weather of one city to all tasks that wait for it."""
    _service.enrich(city_key)


@app.task(name=jobs.WEATHER_SWEEP, quiet=True)  # type: ignore[untyped-decorator]  # Celery ships no types.
def sweep() -> None:
    """Send jobs for cities that wait although their turn has come."""
    queued: Any = redis.llen(jobs.QUEUE_WEATHER)
    for city_key in overdue_cities(max(_BACKLOG - queued, 0)):
        app.send_task(jobs.WEATHER_ENRICH, (city_key,))
