"""Tasks with a weather rule at a place, and forecasts that satisfy it or not."""

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

HOUR: Final = timedelta(hours=1)
STEPS: Final = 96
MIDNIGHT: Final = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
TOMORROW: Final = MIDNIGHT + timedelta(days=1, hours=14)
RULE: Final = {"max_gusts": 50.0}
GOOD: Final = 30.0
BAD: Final = 63.0
_FETCHES: Final = count()


def forecast(gusts: float | None = GOOD, **series: float | None) -> Forecast:
    """Return a forecast of four days with these values in every step. Each one is newer than those before."""
    values = {
        "temperature": 15.0,
        "feels_like": 15.0,
        "rain_probability": 10.0,
        "rain": 0.0,
        "weather_code": 3.0,
        "wind": 12.0,
        "gusts": gusts,
    } | series
    fetched_at = MIDNIGHT + next(_FETCHES) * timedelta(seconds=1)
    steps = {name: (value,) * STEPS for name, value in values.items()}
    return Forecast("open-meteo", fetched_at, MIDNIGHT, HOUR, **steps)


def create_place(name: str = "Oslo") -> int:
    """Create a place and return its id."""
    with unit_of_work():
        return int(Place.insert(reference=f"tests:{name}", name=name, latitude=59.9, longitude=10.7).execute())


def create_outdoor_task(owner: Actor, place_id: int, **fields: Any) -> int:
    """Create a task of tomorrow with a rule, at a place, and return its id."""
    return create_task(owner, **({"place_id": place_id, "due_at": TOMORROW, "weather_rule": RULE} | fields))


def arrive(place_id: int, expected: Forecast) -> None:
    """Store a forecast and judge the tasks of its place."""
    with unit_of_work():
        store_forecasts({place_id: expected})
    judge_place(place_id, expected)
