"""Jobs of the weather."""

from core import jobs
from core.services.weather import WeatherService, overdue_cities
from core.weather import provider_for
from worker.app import app, redis, send_overdue, settings

_service = WeatherService(settings, provider_for(settings), redis)


@app.task(name=jobs.WEATHER_ENRICH)  # type: ignore[untyped-decorator]  # Celery ships no types.
def enrich(city_key: str) -> None:
    """Bring the weather of one city to all tasks that wait for it."""
    _service.enrich(city_key)


@app.task(name=jobs.WEATHER_SWEEP, quiet=True)  # type: ignore[untyped-decorator]  # Celery ships no types.
def sweep() -> None:
    """Send jobs for cities that wait although their turn has come."""
    send_overdue(jobs.WEATHER_ENRICH, jobs.QUEUE_WEATHER, overdue_cities)
