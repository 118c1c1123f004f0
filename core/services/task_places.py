"""Where the weather of a task is: at the best match of its city, at a place that was chosen, or at a point.

Whoever changes one of these clears the others. A chosen place and a point are stored in `place_id`, without a city. The
place of a city is stored there too: at once if the name was looked up before, else by a worker.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from core.errors import FieldError, Invalid
from core.messages import msg
from core.models.task import Task
from core.services.places import is_named_place, place_of_point
from core.weather import city_key

PLACE_ID: Final = """coalesce(%(place_id)s::bigint, (
    SELECT place_ids[1] FROM place_names WHERE key = %(city_key)s::varchar))"""
"""The SQL of the place of a task: the chosen one, or the one of its city if this is known. It takes no round trip."""

PLACE_IS_KNOWN: Final = """(%(place_id)s::bigint IS NULL OR %(is_point)s::boolean
    OR EXISTS (SELECT FROM places WHERE id = %(place_id)s::bigint AND name IS NOT NULL))"""
"""The SQL of whether there is the place that was chosen. `is_point` is whether it was chosen by its coordinates."""


def without_coordinates(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields with the id of the place at their coordinates instead of these, in the running unit of work."""
    others = {name: value for name, value in fields.items() if name not in {"latitude", "longitude"}}
    if fields.get("latitude") is None:
        return others
    return others | {"place_id": place_of_point(fields["latitude"], fields["longitude"])}


def place_changes(task: Task, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the changes of a task, with what a change of its city or its place implies, in the running unit of work.

    Raises:
        Invalid: if there is no place with the id.
    """
    others = without_coordinates(changes)
    nothing = object()
    city, place_id = others.pop("city", nothing), others.pop("place_id", nothing)
    if place_id not in {None, nothing}:
        if place_id == task.place_id:
            return others
        if changes.get("latitude") is None:
            require_place(place_id)
        return others | {"city": None, "place_id": place_id}
    if city not in {None, nothing}:
        return others | {"city": city}
    # Null clears what the task has. Beside it stands what is null already, in the form of a client that sends all.
    is_cleared = (city is None and task.city is not None) or (place_id is None and task.place_id is not None)
    return others | ({"city": None, "place_id": None} if is_cleared else {})


def require_place(place_id: int | None) -> None:
    """Require that there is a place to choose by its id; None, which means no place, is always allowed.

    A point cannot be chosen by its id, since whoever counts through the ids would learn near which points others live.

    Raises:
        Invalid: if there is no place with this id.
    """
    if place_id is not None and not is_named_place(place_id):
        raise Invalid([FieldError("place_id", msg("There is no place with this id."))])


def weather_request(city: str | None, place_id: int | None) -> dict[str, Any]:
    """Return the columns of a task whose place has changed: it has no weather, and waits for a worker."""
    waits = city is not None or place_id is not None
    return {
        "city_key": None if city is None else city_key(city),
        "place_id": place_id,
        "weather": None,
        "weather_status": "pending" if waits else None,
        "weather_attempts": 0,
        "weather_error": None,
        "weather_failing_since": None,
        "weather_next_attempt_at": datetime.now(UTC) if waits else None,
        "forecast_told": None,
    }


def weather_change(task: Task, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns that follow from a change of a task's city or place; none if only the spelling changed."""
    if "city" not in changes and "place_id" not in changes:
        return {}
    city = changes.get("city")
    if city is not None and city_key(city) == task.city_key:
        return {}
    return weather_request(city, changes.get("place_id"))
