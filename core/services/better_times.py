"""Better times for a task: the spans in which it could be done in better weather, and the move of a task to one."""

from collections.abc import Container, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from core.days import last_second_of
from core.db import read, unit_of_work
from core.errors import Conflict
from core.events import Change
from core.messages import language_of, msg, translate
from core.models.task import Task
from core.policy import Actor
from core.representations import Representation
from core.services.forecasts import read_forecasts
from core.services.task_access import lock_task, require_readable, task_not_found
from core.services.tasks import move_reminders, read_task, save
from core.services.weather_outcomes import MOVED, record_outcome
from core.weather.expected import Expected
from core.weather.forecast import Forecast
from core.weather.ranking import Offer, best_offers, satisfies
from core.weather.rules import Rule, State, effective_rule, hours_of_span
from core.weather.spans import Span, candidates, free_spans
from core.weather.working_hours import WorkingHours

_USUAL_MINUTES: Final = 60

PLAN_COLUMNS: Final = """
t.id, t.user_id, t.place_id, t.due_at, t.due_on, t.duration_minutes, t.weather_rule, t.weather_state,
u.timezone, u.working_hours, u.weather_rule, u.locale
"""

_PLAN = f"SELECT {PLAN_COLUMNS} FROM tasks t JOIN users u ON u.id = t.user_id WHERE t.id = %(task_id)s"

# A task that is due on a day is done at some time of that day, so it does not make any span of the day busy. What the
# caller may not read is not in the result, so that nobody can learn from it when the owner has something else to do.
_STARTS_AT = f"t.due_at - make_interval(mins => coalesce(t.duration_minutes, {_USUAL_MINUTES}))"
_BUSY = f"""
SELECT lower(span), upper(span) FROM unnest((
    SELECT range_agg(tstzrange({_STARTS_AT}, t.due_at)) FROM tasks t
    WHERE t.user_id = %(owner_id)s AND t.id <> %(task_id)s AND t.status <> 'done' AND t.due_on IS NULL
        AND t.due_at > %(starts_at)s AND {_STARTS_AT} < %(ends_at)s
        AND (%(sees_all)s OR {Task.visible_to()})
)) span
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """What it depends on when a task can be done: its columns, and the profile of its owner."""

    task_id: int
    owner_id: int
    place_id: int | None
    due_at: datetime | None
    due_on: date | None
    duration_minutes: int | None
    task_rule: dict[str, Any] | None
    state: State | None
    timezone: str
    working_hours: dict[str, Any] | None
    profile_rule: dict[str, Any] | None
    locale: str

    @property
    def rule_as_json(self) -> dict[str, Any] | None:
        """The limits of the task's rule, or else of the rule in the profile."""
        return self.task_rule or self.profile_rule

    @property
    def rule(self) -> Rule | None:
        """The rule that the weather must satisfy."""
        return effective_rule(self.task_rule, self.profile_rule)

    @property
    def duration(self) -> timedelta:
        """How long the task takes."""
        return timedelta(minutes=self.duration_minutes or _USUAL_MINUTES)

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of the owner."""
        return ZoneInfo(self.timezone)

    @property
    def hours(self) -> WorkingHours:
        """The working hours of the owner."""
        return WorkingHours.from_json(self.working_hours, self.zone)

    @property
    def current_span(self) -> Span | None:
        """The span as it is planned now, which may be on a day off; None without a deadline."""
        if self.due_on is not None:
            return self.hours.of_any_day(self.due_on)
        return None if self.due_at is None else Span(self.due_at - self.duration, self.due_at)

    def span_at(self, starts_at: datetime | None, due_at: datetime | None) -> Span | None:
        """Return the span that begins or ends at this time; for a task that is due on a day, the one of that day.

        It is None if the owner does not work on that day.
        """
        if self.due_on is not None:
            return self.hours.of_day((starts_at or due_at or _now()).astimezone(self.zone).date())
        if starts_at is not None:
            return Span(starts_at, starts_at + self.duration)
        return None if due_at is None else Span(due_at - self.duration, due_at)

    def deadline(self, span: Span) -> dict[str, Any]:
        """Return the columns of the deadline of a task that is done in a span."""
        if self.due_on is None:
            return {"due_at": span.ends_at}
        day = span.starts_at.astimezone(self.zone).date()
        return {"due_at": last_second_of(day, self.zone), "due_on": day}

    def spans(self, bounds: Span, forecast: Forecast, reader: Actor | None) -> Iterator[Span]:
        """Return the spans in which the task could be done, whatever the weather is.

        `reader` is who asks; None for the application itself, for which all tasks of the owner count.
        """
        if self.due_on is not None:
            return (span for span in self.hours.whole_days(bounds) if forecast.covers(span.starts_at, span.ends_at))
        free = free_spans(self.hours.within(bounds), _busy(self, bounds, reader))
        return candidates(free, self.duration, forecast)

    def forecast(self) -> Forecast | None:
        """Read the forecast of the task's place; None if it has no place, or if nothing was fetched yet."""
        return None if self.place_id is None else read_forecasts([self.place_id]).get(self.place_id)

    def reason(self, span: Span, forecast: Forecast) -> str:
        """Return the weather of a span in the language of the owner."""
        words = Expected.over(hours_of_span(forecast, span.starts_at, span.ends_at)).in_words()
        return translate(words, language_of(self.locale))


@dataclass(frozen=True, slots=True)
class BetterTimes:
    """The better times of a task, the best first. Without a forecast there are none."""

    plan: Plan
    forecast: Forecast | None
    offers: list[Offer]

    @property
    def status(self) -> Literal["ready", "no_place", "no_forecast"]:
        """Whether there can be any, and if not, why."""
        if self.plan.place_id is None:
            return "no_place"
        return "no_forecast" if self.forecast is None else "ready"


def find(actor: Actor, task_id: int, start: datetime | None, end: datetime | None, limit: int) -> BetterTimes:
    """Find up to `limit` better times of a task, from now or `start` to the end of the forecast or `end`.

    Raises:
        NotFound, Forbidden: as `require_readable()` raises them.
    """
    require_readable(actor, task_id)
    plan = _read_plan(task_id)
    forecast = plan.forecast()
    if forecast is None:
        return BetterTimes(plan, None, [])
    bounds = Span(max(start or _now(), _now()), min(end or forecast.ends_at, forecast.ends_at))
    spans = plan.spans(bounds, forecast, actor)
    return BetterTimes(plan, forecast, best_offers(spans, forecast, plan.rule, plan.state, limit))


def reschedule(
    actor: Actor, task_id: int, starts_at: datetime | None, due_at: datetime | None, expected: Container[int] | None
) -> Representation:
    """Move a task to the span that begins at `starts_at`, or else ends at `due_at`; returns the task.

    A task that is due on a day is moved to the day of this time. The caller may choose a time outside the working hours
    or while the owner has other tasks, but not one whose weather does not satisfy the rule.

    Raises:
        NotFound, Forbidden, PreconditionFailed: as `lock_task()` raises them.
        Conflict: with code `span_not_available` if the span is in the past, is not in the forecast, or does not satisfy
            the rule.
    """
    with unit_of_work():
        lock_task(actor, task_id, expected)
        plan = _read_plan(task_id)
        span = plan.span_at(starts_at, due_at)
        forecast = plan.forecast()
        if span is None:
            raise _not_available(msg("The owner of the task does not work on this day."))
        if span.starts_at < _now():
            raise _not_available(msg("The span begins in the past."))
        if forecast is None or not forecast.covers(span.starts_at, span.ends_at):
            raise _not_available(msg("There is no forecast of the whole span."))
        if not satisfies(plan.rule, hours_of_span(forecast, span.starts_at, span.ends_at), plan.state):
            raise _not_available(msg("The weather of the span does not satisfy the rule."))
        return move(plan, span, forecast, actor.user_id) or read_task(actor, task_id)


def move(plan: Plan, span: Span, forecast: Forecast, actor_id: int | None) -> Representation | None:
    """Move a task, whose row is locked, to a span, in the running unit of work; its history says why.

    Reminders move with the deadline. Returns the task, or None if it is there already. The reasons are in the language
    of the task's owner: a history has one language.
    """
    deadline = plan.deadline(span)
    changes: dict[str, Change] = {
        name: (getattr(plan, name), value) for name, value in deadline.items() if getattr(plan, name) != value
    }
    if not changes:
        return None
    before, reason = plan.current_span, plan.reason(span, forecast)
    changes["reason"] = (None if before is None else plan.reason(before, forecast) or None, reason)
    values = deadline | {"overdue_told": False, "rescheduled_at": _now()}
    more = {"rescheduled": {"from": plan.due_at, "to": deadline["due_at"], "reason": reason}}
    moved = save(plan.task_id, values, actor_id, changes, more)
    move_reminders(plan.task_id, deadline["due_at"])
    record_outcome(MOVED, plan.task_id)
    return moved


def _read_plan(task_id: int) -> Plan:
    row = read(_PLAN, {"task_id": task_id}).fetch_one()
    if row is None:
        raise task_not_found()
    return Plan(*row)


def _busy(plan: Plan, bounds: Span, reader: Actor | None) -> list[Span]:
    parameters = {
        "owner_id": plan.owner_id,
        "task_id": plan.task_id,
        "starts_at": bounds.starts_at,
        "ends_at": bounds.ends_at,
        "sees_all": reader is None or reader.is_admin,
        "actor_id": None if reader is None else reader.user_id,
    }
    return [Span(*bounds) for bounds in read(_BUSY, parameters).fetch_all()]


def _not_available(reason: str) -> Conflict:
    return Conflict(reason, code="span_not_available")


def _now() -> datetime:
    return datetime.now(UTC)
