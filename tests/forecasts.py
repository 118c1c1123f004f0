"""Places, forecasts without a provider, and tasks with a weather rule that a forecast satisfies or not."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Final

from core.db import unit_of_work
from core.models.place import Place
from core.policy import Actor
from core.services.forecasts import store_forecasts
from core.services.weather_rules import judge_place
from core.weather.forecast import Forecast
from tests.builders import create_task
from tests.sql import execute

HOUR: Final = timedelta(hours=1)
MIDNIGHT: Final = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
TOMORROW: Final = MIDNIGHT + timedelta(days=1, hours=14)
STEPS: Final = 96
RULE: Final = {"max_gusts": 50.0}
GOOD: Final = 30.0
BAD: Final = 63.0
FINE: Final[dict[str, float]] = {
    "temperature": 18,
    "feels_like": 18,
    "rain_probability": 0,
    "rain": 0,
    "weather_code": 0,
    "wind": 5,
    "gusts": 10,
}
_CLOUDY: Final = FINE | {"temperature": 11, "feels_like": 10, "rain_probability": 10, "weather_code": 3, "wind": 12}
_FETCHES: Final = count()

Values = float | Sequence[float | None] | Mapping[int, float | None] | None
"""What a series has: one value for all hours, a value for each, or values for the hours that are not as usual."""


def fine_forecast(starts_at: datetime, hours: int, *, fetched_at: datetime | None = None, **series: Values) -> Forecast:
    """Return an hourly forecast of fine weather, apart from some series."""
    return _forecast(FINE, series, starts_at, hours, fetched_at or starts_at)


def forecast(gusts: float | None = GOOD, **series: Values) -> Forecast:
    """Return a forecast of four days of clouds, apart from some series. Each one is newer than those before."""
    fetched_at = MIDNIGHT + next(_FETCHES) * timedelta(seconds=1)
    return _forecast(_CLOUDY, {"gusts": gusts} | series, MIDNIGHT, STEPS, fetched_at)


def hours(count: int = 72, *, fetched_at: datetime | None = None, **series: Values) -> Forecast:
    """Return a forecast of clouds from the hour now on, apart from some series."""
    now = datetime.now(UTC)
    return _forecast(_CLOUDY, series, now.replace(minute=0, second=0, microsecond=0), count, fetched_at or now)


def create_place(name: str = "Oslo", forecast: Forecast | None = None) -> int:
    """Return the id of the place with this name, which is made if it does not exist, and give it a forecast."""
    place = {"name": name, "country_code": "NO", "latitude": 59.9, "longitude": 10.7}
    with unit_of_work():
        Place.insert(reference=f"tests:{name}", **place).on_conflict_ignore().execute()
    (place_id,) = execute("SELECT id FROM places WHERE reference = %s", (f"tests:{name}",)).fetchone()
    if forecast is not None:
        with unit_of_work():
            store_forecasts({place_id: forecast})
    return int(place_id)


def store_hours(place_id: int, **values: Any) -> Forecast:
    """Store a forecast of `hours()` for a place, and return it."""
    known = hours(**values)
    with unit_of_work():
        store_forecasts({place_id: known})
    return known


def create_outdoor_task(owner: Actor, place_id: int, **fields: Any) -> int:
    """Create a task of tomorrow with a rule, at a place, and return its id."""
    return create_task(owner, **({"place_id": place_id, "due_at": TOMORROW, "weather_rule": RULE} | fields))


def arrive(place_id: int, expected: Forecast) -> None:
    """Store a forecast and judge the tasks of its place."""
    with unit_of_work():
        store_forecasts({place_id: expected})
    judge_place(place_id, expected)


def _forecast(
    usual: Mapping[str, float], others: Mapping[str, Values], starts_at: datetime, hours: int, fetched_at: datetime
) -> Forecast:
    series = {name: _series(others.get(name, value), value, hours) for name, value in usual.items()}
    return Forecast("open-meteo", fetched_at, starts_at, HOUR, **series)


def _series(values: Values, usual: float, hours: int) -> tuple[float | None, ...]:
    if isinstance(values, Mapping):
        return tuple(values.get(hour, usual) for hour in range(hours))
    return tuple(values) if isinstance(values, Sequence) else (values,) * hours
