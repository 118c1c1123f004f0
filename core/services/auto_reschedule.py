"""Moves warned tasks to better weather, where their people have allowed it, and says why.

A task is moved at most once a day. While a worker decides, it has locked the rows of the task and of its owner. So
nobody changes the deadline meanwhile, two workers do not move a task twice, and two tasks of an owner do not get the
same span.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import orjson
import structlog

from core import jobs
from core.db import read, unit_of_work
from core.events import TASK_WEATHER_WARNED, Event
from core.jobs import JobContext, JobRequest
from core.services.better_times import PLAN_COLUMNS, Plan, move
from core.services.notifications import RESCHEDULED, notify
from core.weather.forecast import Forecast
from core.weather.ranking import best_offers
from core.weather.rules import expectations, hours_of_span, judge
from core.weather.spans import Span

log = structlog.get_logger()

_BATCH: Final = 500

_MAY_BE_MOVED: Final = """t.weather_state = 'warned' AND t.auto_reschedule IS NOT NULL AND t.status <> 'done'
    AND (t.rescheduled_at IS NULL OR t.rescheduled_at <= now() - interval '1 day')"""

# The pages follow the order of the index `tasks_place`. A task that was moved is not found again on a later page, since
# it is not moved twice a day.
_AT_PLACE: Final = f"""
SELECT t.due_at, t.id FROM tasks t
WHERE t.place_id = %(place_id)s AND (t.due_at, t.id) > (%(due_at)s, %(id)s) AND {_MAY_BE_MOVED}
ORDER BY t.due_at, t.id LIMIT %(limit)s
"""

# The owner is locked before the task, which is also the order in which the deletion of an account locks them.
_LOCK_OWNER: Final = """
SELECT FROM users WHERE id = (SELECT user_id FROM tasks WHERE id = %(task_id)s) FOR NO KEY UPDATE
"""
_LOCK_TASK: Final = f"""
SELECT {PLAN_COLUMNS}, t.auto_reschedule FROM tasks t JOIN users u ON u.id = t.user_id
WHERE t.id = %(task_id)s AND t.due_at = %(due_at)s AND {_MAY_BE_MOVED} FOR UPDATE OF t
"""


@jobs.caused_by(TASK_WEATHER_WARNED)
def request_move(event: Event) -> Iterator[JobRequest]:
    """Request the move of a task that has just been warned, if its people have allowed it."""
    task = orjson.loads(event.data)
    if task["auto_reschedule"] is not None:
        yield jobs.WEATHER_RESCHEDULE.request(task["id"], task["due_at"])


@jobs.WEATHER_RESCHEDULE.work
def move_warned(_context: JobContext, task_id: int, due_at: str) -> int:
    """Move a warned task, unless its deadline has changed since the warning; returns how many were moved, 0 or 1.

    If the message is lost or no span fits, the next forecast of the place is the next occasion.
    """
    return int(auto_reschedule_task(task_id, datetime.fromisoformat(due_at)))


def auto_reschedule_place(place_id: int) -> int:
    """Move the warned tasks of a place after its forecast was stored; returns how many were moved."""
    moved = 0
    after = {"due_at": datetime.now(UTC), "id": 0}
    while batch := read(_AT_PLACE, after | {"place_id": place_id, "limit": _BATCH}).fetch_all():
        for due_at, task_id in batch:
            moved += auto_reschedule_task(task_id, due_at)
        after = dict(zip(("due_at", "id"), batch[-1], strict=True))
    return moved


def auto_reschedule_task(task_id: int, due_at: datetime) -> bool:
    """Move a warned task to the best span within its bounds, if its deadline is still `due_at`.

    Nothing happens if the stored forecast satisfies the rule now, or if no span fits. Returns whether the task was
    moved.
    """
    with unit_of_work():
        read(_LOCK_OWNER, {"task_id": task_id})
        row = read(_LOCK_TASK, {"task_id": task_id, "due_at": due_at}).fetch_one()
        if row is None:
            return False
        *columns, allowed = row
        plan = Plan(*columns)
        known = plan.forecast()
        if known is None or not _is_warned(plan, known):
            return False
        span = _best_span(plan, known, allowed)
        if span is None:
            log.debug("no_better_time", task_id=task_id)
            return False
        move(plan, span, known, actor_id=None)
        notify(RESCHEDULED, task_id, None, reasons=_expected(plan, span, known))
        return True


def _is_warned(plan: Plan, forecast: Forecast) -> bool:
    """Whether the task is not over yet, and the forecast of its span does not satisfy the rule."""
    span, rule = plan.current_span, plan.rule
    if span is None or rule is None or span.ends_at <= datetime.now(UTC):
        return False
    return judge(rule, hours_of_span(forecast, span.starts_at, span.ends_at), plan.state).state == "warned"


def _expected(plan: Plan, span: Span, forecast: Forecast) -> list[dict[str, Any]]:
    """Return what is expected for each limit of the rule, in the form of notifications."""
    hours = hours_of_span(forecast, span.starts_at, span.ends_at)
    return [] if plan.rule is None else [reason.as_dict() for reason in expectations(plan.rule, hours)]


def _best_span(plan: Plan, forecast: Forecast, allowed: dict[str, Any]) -> Span | None:
    not_after = datetime.fromisoformat(allowed["not_after"])
    not_before = datetime.fromisoformat(allowed.get("not_before") or "1970-01-01T00:00:00Z")
    bounds = Span(max(datetime.now(UTC), not_before), min(not_after, forecast.ends_at))
    spans = (span for span in plan.spans(bounds, forecast, reader=None) if plan.deadline(span)["due_at"] <= not_after)
    offers = best_offers(spans, forecast, plan.rule, plan.state, limit=1)
    return offers[0].span if offers else None
