"""Deadlines: a point in time (`due_at`), or a day without a time (`due_on`).

A task that is due on a day has also a `due_at`: the last second of this day in the time zone that its owner has when
the day is set. So everything that compares deadlines, such as reminders, needs only `due_at`.
"""

from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from core.days import beginning_of, end_of, last_second_of
from core.db import read
from core.errors import FieldError, Invalid
from core.messages import msg
from core.models.task import Task


def of_new_task(fields: dict[str, Any], zone: ZoneInfo) -> dict[str, Any]:
    """Return the columns that follow from the deadline of a new task. `zone` is its owner's.

    Raises:
        Invalid: if the fields have a day, and a point in time that is not its end.
    """
    day = fields.get("due_on")
    return {} if day is None else {"due_at": _end_of(day, zone, fields.get("due_at"))}


def implied(task: Task, changes: dict[str, Any]) -> dict[str, Any]:
    """Return the changes that follow from changes of a task's deadline: of the two forms, the changed one counts.

    Raises:
        Invalid: if both are changed, and the point in time is not the end of the day.
    """
    day = changes.get("due_on")
    if day is not None:
        return {"due_at": _end_of(day, _zone_of(task.user_id), changes.get("due_at"))}
    if "due_on" in changes and "due_at" not in changes:
        return {"due_at": None}
    if "due_at" in changes and task.due_on is not None:
        return {"due_on": None}
    return {}


def midnights_of(filters: dict[str, Any], zone: ZoneInfo) -> dict[str, datetime]:
    """Return the points in time at which the days of a list's filters begin and end, as parameters of its statement."""
    midnights = {}
    if "due_from_day" in filters:
        midnights["due_from_midnight"] = beginning_of(filters["due_from_day"], zone)
    if "due_to_day" in filters:
        midnights["due_to_midnight"] = end_of(filters["due_to_day"], zone)
    return midnights


def _end_of(day: date, zone: ZoneInfo, due_at: datetime | None) -> datetime:
    end = last_second_of(day, zone)
    if due_at not in {None, end}:
        raise Invalid([FieldError("due_at", msg("contradicts due_on"))])
    return end


def _zone_of(user_id: int) -> ZoneInfo:
    return ZoneInfo(read("SELECT timezone FROM users WHERE id = %(user_id)s", {"user_id": user_id}).fetch_value())
