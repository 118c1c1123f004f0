"""How likely the weather is bad for a task, as SQL over `tasks t`, for the filters and the order of lists."""

from typing import Any, Final

from core.models.place import rain_probability_of_task

RAIN_PROBABILITY: Final = rain_probability_of_task("t")
"""The probability of rain (%) in the forecast of the task; NULL if it is not known."""

# A warned task has a higher risk than any probability of rain is, and an unknown risk is beyond both ends.
_WARNED: Final = 1000
_LAST_IF_RISING, _LAST_IF_FALLING = 2000, -1


def _risk(unknown: int) -> str:
    return f"""CASE WHEN t.weather_state = 'warned' THEN {_WARNED} + coalesce({RAIN_PROBABILITY}, 0)
        ELSE coalesce({RAIN_PROBABILITY}, {unknown}) END"""


RISING: Final = _risk(_LAST_IF_RISING)
FALLING: Final = _risk(_LAST_IF_FALLING)
"""The risk of a task, which is never NULL; tasks whose risk is not known come last in either order."""


def read_risk(value: Any) -> int:
    """Return a risk from a cursor.

    Raises:
        ValueError: if it cannot be one.
    """
    if type(value) is not int or not _LAST_IF_FALLING <= value <= _LAST_IF_RISING:
        raise ValueError
    return value
