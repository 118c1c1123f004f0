"""Judges tasks by their weather rules, and tells people when the forecast crosses a limit: once for each crossing.

A task is judged after a forecast of its place was stored, and after a change of the task or of its owner's profile. For
the latter, triggers of the database mark the tasks in the column `weather_judge_at`, in the transaction of the change.
The job `weather.judge` takes the marked tasks, so it does not matter whether a message or a worker is lost.

A crossing is an UPDATE of the task that checks the state before, in one transaction with its event and notifications.
Tasks are judged with their rows locked and with their forecasts locked against replacement, so a verdict always belongs
to the newest forecast and to the task as it is. The tasks are always locked before the forecasts: in both orders, two
workers could wait for each other, and for a third one that stores forecasts of several places.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import orjson

from core import events, jobs
from core.db import read, unit_of_work, write
from core.events import TASK_CREATED, TASK_ENRICHED, TASK_UPDATED, TASK_WEATHER_CLEARED, TASK_WEATHER_WARNED, Event
from core.jobs import JobContext, JobRequest
from core.rows import Row
from core.services.forecasts import lock_forecasts
from core.services.notifications import WEATHER_CLEARED, WEATHER_WARNED, notify
from core.services.weather_outcomes import DONE, WARNED, record_outcome
from core.weather.forecast import Forecast
from core.weather.rules import Reason, State, effective_rule, expectations, hours_of_span, judge
from core.weather.spans import Span
from core.weather.working_hours import WorkingHours

_DEFAULT_MINUTES: Final = 60
_PAGE: Final = 500
_BATCH: Final = 50
# A limit for one run of the job, which then sends itself again, so that other jobs get their turn.
_BATCHES: Final = 40

# The rule of the profile is only for tasks that have a place: others have no weather that could be judged.
_FACTS = """
SELECT t.id, t.status = 'done', t.due_at, t.due_on, t.duration_minutes, t.place_id, t.weather_rule,
       CASE WHEN t.place_id IS NOT NULL THEN u.weather_rule END, t.weather_state, t.weather_warned_by,
       u.working_hours, u.timezone
FROM tasks t JOIN users u ON u.id = t.user_id
"""

# The pages follow the order of the index `tasks_place`.
_OF_PLACE = f"""{_FACTS}
WHERE t.place_id = %(place_id)s AND t.status <> 'done' AND t.due_at > now()
    AND (t.due_at, t.id) > (%(due_at)s, %(id)s) AND (t.weather_rule IS NOT NULL OR u.weather_rule IS NOT NULL)
ORDER BY t.due_at, t.id LIMIT %(limit)s
"""

_LOCK = f"{_FACTS} WHERE t.id = ANY(%(task_ids)s) ORDER BY t.id FOR NO KEY UPDATE OF t"

# A task that is being changed right now is skipped until the next run, and so is one that another worker judges.
_LOCK_WAITING = f"""{_FACTS}
WHERE t.weather_judge_at IS NOT NULL ORDER BY t.weather_judge_at LIMIT %(limit)s FOR NO KEY UPDATE OF t SKIP LOCKED
"""

_CHANGED_BY = """
SELECT DISTINCT ON (task_id) task_id, actor_id FROM task_activity
WHERE task_id = ANY(%(task_ids)s) AND type IN ('task.created', 'task.updated') ORDER BY task_id, id DESC
"""

_JUDGED = "UPDATE tasks SET weather_judge_at = NULL WHERE id = ANY(%(task_ids)s) AND weather_judge_at IS NOT NULL"

_SETTLE = """
UPDATE tasks SET weather_state = %(state)s, weather_warned_by = %(warned_by)s::text[]
WHERE id = %(task_id)s AND weather_state IS NOT DISTINCT FROM %(was)s
"""

# `weather_warned_by` stays, since the task may be done late.
_SETTLE_PAST = """
WITH past AS (SELECT id FROM tasks WHERE weather_state IN ('ok', 'warned') AND due_at <= now()
              LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED)
UPDATE tasks t SET weather_state = 'unknown' FROM past WHERE t.id = past.id
"""

# After a change of a profile: marks the next tasks of one account, in the order of their ids.
_MARK = """
WITH account AS (SELECT id, weather_judge_after AS after FROM users WHERE weather_judge_after IS NOT NULL
                 ORDER BY id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED),
     batch AS (SELECT t.id FROM account JOIN tasks t ON t.user_id = account.id AND t.id > account.after
               WHERE t.status <> 'done'
                   AND (t.weather_rule IS NOT NULL OR t.place_id IS NOT NULL OR t.weather_state IS NOT NULL)
               ORDER BY t.id LIMIT %(limit)s FOR NO KEY UPDATE OF t),
     marked AS (UPDATE tasks t SET weather_judge_at = clock_timestamp() FROM batch WHERE t.id = batch.id)
UPDATE users u SET weather_judge_after = (SELECT max(id) FROM batch) FROM account WHERE u.id = account.id
"""

_HAS_WAITING = """
SELECT EXISTS (SELECT FROM tasks WHERE weather_judge_at IS NOT NULL)
    OR EXISTS (SELECT FROM users WHERE weather_judge_after IS NOT NULL)
    OR EXISTS (SELECT FROM tasks WHERE weather_state IN ('ok', 'warned') AND due_at <= now())
"""


@dataclass(frozen=True, slots=True)
class _Task:
    """What the verdict about a task depends on."""

    id: int
    is_done: bool
    due_at: datetime | None
    due_on: date | None
    duration_minutes: int | None
    place_id: int | None
    own_rule: dict[str, float] | None
    profile_rule: dict[str, float] | None
    state: State | None
    warned_by: list[str] | None
    working_hours: dict[str, Any] | None
    timezone: str

    @property
    def is_past(self) -> bool:
        return self.due_at is not None and self.due_at <= datetime.now(UTC)

    @property
    def span(self) -> Span | None:
        """When the task is worked on: until its deadline, or in the working hours of its day."""
        if self.due_on is not None:
            return WorkingHours.from_json(self.working_hours, ZoneInfo(self.timezone)).of_any_day(self.due_on)
        if self.due_at is None:
            return None
        return Span(self.due_at - timedelta(minutes=self.duration_minutes or _DEFAULT_MINUTES), self.due_at)


@dataclass(frozen=True, slots=True)
class _Judgement:
    """The new state of a task and the limits of its warning, and what is expected where the state crosses a limit."""

    state: State | None
    warned_by: list[str] | None
    reasons: Sequence[Reason] = ()


@jobs.caused_by(TASK_CREATED, TASK_UPDATED, TASK_ENRICHED)
def request_judgement(event: Event) -> Iterator[JobRequest]:
    """Request that the marked tasks are judged, if the task may be one of them.

    One request is enough for all tasks of a batch of events, because its job takes all marked tasks.
    """
    task = orjson.loads(event.data)
    # Events of a release that knew no weather rules lack these fields, and may be published by this one.
    if any(task.get(name) is not None for name in ("weather_rule", "weather_state", "place_id")):
        yield jobs.WEATHER_JUDGE.request()


@jobs.WEATHER_JUDGE.work
def judge_waiting(context: JobContext) -> int:
    """Judge the marked tasks, and end the states of those whose deadline has passed; returns how many there were."""
    total = 0
    for _ in range(_BATCHES):
        done = _mark_of_changed_profile() + _settle_past() + _judge_marked()
        if not done:
            return total
        total += done
    context.send(jobs.WEATHER_JUDGE)
    return total


@jobs.WEATHER_JUDGE.when
def has_waiting(_context: JobContext) -> bool:
    """Whether any task waits to be judged."""
    return bool(read(_HAS_WAITING).fetch_value())


def judge_place(place_id: int, forecast: Forecast) -> None:
    """Judge all open tasks of a place that have a rule, after its forecast was stored.

    Only tasks whose state would change are locked, and these are judged again by the newest forecast.
    """
    after: dict[str, Any] = {"due_at": datetime.now(UTC), "id": 0}
    while True:
        rows = read(_OF_PLACE, after | {"place_id": place_id, "limit": _PAGE}).fetch_all()
        page = [_Task(*row) for row in rows]
        changed = [task.id for task in page if _is_changed(task, _judgement(task, forecast))]
        for first in range(0, len(changed), _BATCH):
            with unit_of_work():
                locked = write(_LOCK, {"task_ids": changed[first : first + _BATCH]}).fetch_all()
                forecasts = lock_forecasts([place_id])
                for task in (_Task(*row) for row in locked):
                    # A task that was moved to another place in the meantime is marked, and judged there.
                    if task.place_id == place_id:
                        _settle(task, forecasts.get(place_id), actor_id=None)
        if len(page) < _PAGE:
            return
        after = {"due_at": page[-1].due_at, "id": page[-1].id}


def judge_task(task_id: int) -> None:
    """Judge one task by the stored forecast, after a change of the task."""
    with unit_of_work():
        _judge_changed(write(_LOCK, {"task_ids": [task_id]}).fetch_all())


def _judge_marked() -> int:
    with unit_of_work():
        return _judge_changed(write(_LOCK_WAITING, {"limit": _BATCH}).fetch_all())


def _judge_changed(rows: list[Row]) -> int:
    """Judge tasks that somebody has changed, and whose rows are locked; returns how many there are."""
    tasks = [_Task(*row) for row in rows]
    if not tasks:
        return 0
    about = {"task_ids": [task.id for task in tasks]}
    changed_by: dict[int, int | None] = dict(read(_CHANGED_BY, about).fetch_all())
    forecasts = lock_forecasts({task.place_id for task in tasks if task.place_id is not None})
    for task in tasks:
        _settle(task, forecasts.get(task.place_id or 0), changed_by.get(task.id))
    write(_JUDGED, about)
    return len(tasks)


def _mark_of_changed_profile() -> int:
    with unit_of_work():
        return write(_MARK, {"limit": _PAGE}).count


def _settle_past() -> int:
    with unit_of_work():
        return write(_SETTLE_PAST, {"limit": _PAGE}).count


def _judgement(task: _Task, forecast: Forecast | None) -> _Judgement:
    """Return the state that a task should have. It is None if the task has no rule or is done."""
    rule = effective_rule(task.own_rule, task.profile_rule)
    if rule is None or task.is_done:
        return _Judgement(None, None)
    if task.is_past:
        return _Judgement("unknown", task.warned_by)
    span = task.span
    hours = [] if span is None or forecast is None else hours_of_span(forecast, span.starts_at, span.ends_at)
    warned_by = task.warned_by or []
    verdict = judge(rule, hours, task.state, warned_by)
    if verdict.state == "warned":
        return _Judgement("warned", [reason.limit for reason in verdict.reasons], verdict.reasons)
    reasons = [reason for reason in expectations(rule, hours) if reason.limit in warned_by]
    return _Judgement(verdict.state, None, reasons)


def _is_changed(task: _Task, judgement: _Judgement) -> bool:
    return (task.state, task.warned_by) != (judgement.state, judgement.warned_by)


def _settle(task: _Task, forecast: Forecast | None, actor_id: int | None) -> None:
    """Store the state of a task whose row is locked, and tell people if it has crossed a limit.

    `actor_id` is who has changed the task, and is not told that this has ended a warning.
    """
    judgement = _judgement(task, forecast)
    if not _is_changed(task, judgement):
        return
    values = {"state": judgement.state, "warned_by": judgement.warned_by, "task_id": task.id, "was": task.state}
    if not write(_SETTLE, values).count:
        return
    if task.is_done and task.warned_by is not None:
        record_outcome(DONE, task.id)
    if judgement.state == "warned" and task.state != "warned":
        record_outcome(WARNED, task.id)
        _tell(TASK_WEATHER_WARNED, WEATHER_WARNED, task, judgement, None)
    elif judgement.state == "ok" and task.state == "warned":
        _tell(TASK_WEATHER_CLEARED, WEATHER_CLEARED, task, judgement, actor_id)


def _tell(event: str, kind: str, task: _Task, judgement: _Judgement, actor_id: int | None) -> None:
    reasons = [reason.as_dict() for reason in judgement.reasons]
    changes = {"weather_state": (task.state, judgement.state)}
    events.record_task(event, task.id, actor_id, changes=changes, more={"reasons": reasons})
    notify(kind, task.id, actor_id, reasons=reasons)
