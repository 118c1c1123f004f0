"""Better times of a task: in working hours and beside other tasks, also when the clocks change; and the move to one."""

from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, date, datetime, timedelta
from typing import Any

import orjson
import pytest
from freezegun import freeze_time

from core import events
from core.db import unit_of_work
from core.errors import Conflict, PreconditionFailed
from core.policy import Actor
from core.services import better_times, reminders, tasks
from core.services.activity import read_activity
from tests.builders import create_task, read_task
from tests.forecasts import HOUR, create_place, fine_forecast
from tests.recorded import recorded_events
from tests.sql import execute

pytestmark = pytest.mark.usefixtures("database")

MIDNIGHT = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
WEEK = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
RULE = {"max_wind": 30}
# The wind is too strong until noon of the first day.
WINDY: dict[int, float | None] = dict.fromkeys(range(12), 50)


def at(hours: float) -> datetime:
    """Return a time of the first day of the forecast, or of a later one."""
    return MIDNIGHT + hours * HOUR


def set_profile(actor: Actor, **columns: Any) -> None:
    values = {
        name: orjson.dumps(value).decode() if isinstance(value, dict) else value for name, value in columns.items()
    }
    assignments = ", ".join(f"{name} = %({name})s" for name in columns)
    with unit_of_work():
        execute(f"UPDATE users SET {assignments} WHERE id = %(id)s", values | {"id": actor.user_id})


def windy_place() -> int:
    return create_place(forecast=fine_forecast(MIDNIGHT, 72, wind=WINDY))


def warned_task(actor: Actor, **fields: Any) -> int:
    """Create a task at nine in the morning in too much wind."""
    return create_task(actor, **{"place_id": windy_place(), "due_at": at(9), "weather_rule": RULE} | fields)


def found(actor: Actor, task_id: int, start: datetime | None = None, end: datetime | None = None) -> list[float]:
    """Return when the better times begin, in hours, sorted by time."""
    offers = better_times.find(actor, task_id, start, end, 20).offers
    return sorted((offer.span.starts_at - MIDNIGHT) / HOUR for offer in offers)


class TestFinding:
    def test_spans_are_in_working_hours_and_satisfy_the_rule(self, alice: Actor) -> None:
        task_id = warned_task(alice, duration_minutes=120)
        set_profile(alice, working_hours={"days": WEEK, "from": "08:00", "to": "16:00"})

        assert found(alice, task_id, end=at(24)) == [12, 14]

    def test_other_open_tasks_of_the_owner_are_not_overlapped(self, alice: Actor, bob: Actor) -> None:
        task_id = warned_task(alice)
        for others in (
            {"due_at": at(14), "duration_minutes": 90},
            {"due_at": at(16), "status": "done"},
            {"due_at": at(17.25)},
            {"due_on": MIDNIGHT.date()},
        ):
            create_task(alice, **others)
        create_task(bob, due_at=at(19))

        assert found(alice, task_id, end=at(24)) == [14, 15, 17.25, 19]

    def test_a_task_that_the_caller_may_not_read_is_not_taken_into_account(
        self, alice: Actor, bob: Actor, ada: Actor
    ) -> None:
        task_id = warned_task(alice, assignee_id=bob.user_id)
        create_task(alice, due_at=at(13))

        assert [found(actor, task_id, at(12), at(14)) for actor in (alice, bob, ada)] == [[13], [12, 13], [13]]

    def test_without_a_rule_of_its_own_the_rule_of_the_profile_counts(self, alice: Actor) -> None:
        task_id = warned_task(alice, weather_rule=None)
        assert found(alice, task_id, at(9), at(13)) == [9, 10, 11, 12]

        set_profile(alice, weather_rule=RULE)
        assert found(alice, task_id, at(9), at(13)) == [12]

    def test_without_any_rule_the_most_comfortable_time_comes_first(self, alice: Actor) -> None:
        task_id = warned_task(alice, weather_rule=None)

        assert better_times.find(alice, task_id, at(9), at(13), 1).offers[0].span.starts_at == at(12)

    def test_nothing_is_found_in_the_past_or_after_the_forecast(self, alice: Actor) -> None:
        task_id = create_task(alice, place_id=create_place(forecast=fine_forecast(MIDNIGHT - timedelta(days=1), 12)))

        with freeze_time(at(-10)):
            assert found(alice, task_id) == []
        with freeze_time(at(-15.1)):
            assert found(alice, task_id) == [-15, -14, -13]

    def test_a_task_without_a_place_or_a_forecast_says_so(self, alice: Actor) -> None:
        results = [
            better_times.find(alice, create_task(alice, place_id=place_id), None, None, 5)
            for place_id in (None, create_place())
        ]

        assert [(result.status, result.offers) for result in results] == [("no_place", []), ("no_forecast", [])]

    def test_a_task_that_is_due_on_a_day_gets_days(self, alice: Actor) -> None:
        set_profile(alice, timezone="Asia/Kolkata")
        task_id = warned_task(alice, due_on=MIDNIGHT.date(), due_at=None)
        # From 8:00 to 20:00 in Kolkata is from 2:30 to 14:30 in UTC. The forecast ends during the fourth day there.

        result = better_times.find(alice, task_id, None, None, 5)

        assert [offer.span.starts_at for offer in result.offers] == [at(26.5), at(50.5)]
        assert result.plan.deadline(result.offers[0].span) == {
            "due_on": MIDNIGHT.date() + timedelta(days=1),
            "due_at": at(42.5) - timedelta(seconds=1),
        }


@pytest.mark.parametrize(
    ("zone", "now", "first_starts"),
    [
        ("Europe/Berlin", "2026-03-28T20:00Z", ["2026-03-29T06:00Z", "2026-03-30T06:00Z"]),
        ("Europe/Berlin", "2026-10-24T20:00Z", ["2026-10-25T07:00Z", "2026-10-26T07:00Z"]),
        ("America/Los_Angeles", "2026-03-08T04:00Z", ["2026-03-08T15:00Z", "2026-03-09T15:00Z"]),
        ("America/Los_Angeles", "2026-11-01T04:00Z", ["2026-11-01T16:00Z", "2026-11-02T16:00Z"]),
        ("Asia/Kolkata", "2026-03-28T20:00Z", ["2026-03-29T02:30Z", "2026-03-30T02:30Z"]),
        ("Pacific/Kiritimati", "2026-03-28T08:00Z", ["2026-03-28T18:00Z", "2026-03-29T18:00Z"]),
    ],
)
def test_spans_follow_the_clock_of_the_profile_over_changes_of_the_clocks(
    zone: str, now: str, first_starts: list[str], alice: Actor
) -> None:
    """The working hours are just as long as the task, so that each day has one span."""
    instant = datetime.fromisoformat(now)
    task_id = create_task(alice, place_id=create_place(forecast=fine_forecast(instant, 60)), duration_minutes=600)
    set_profile(alice, timezone=zone, working_hours={"days": WEEK, "from": "08:00", "to": "18:00"})

    with freeze_time(instant):
        offers = better_times.find(alice, task_id, None, None, 2).offers

    assert [offer.span.starts_at for offer in offers] == [datetime.fromisoformat(start) for start in first_starts]


class TestRescheduling:
    def test_the_deadline_the_reminders_and_the_history_change(self, alice: Actor) -> None:
        set_profile(alice, locale="de")
        task_id = warned_task(alice, duration_minutes=120)
        reminders.create_reminder(alice, task_id, None, 3600)

        moved = orjson.loads(better_times.reschedule(alice, task_id, at(13), None, None).json)

        assert moved == read_task(alice, task_id)
        assert (datetime.fromisoformat(moved["due_at"]), moved["version"]) == (at(15), 2)
        (reminder,) = orjson.loads(reminders.list_reminders(alice, task_id).items)
        assert datetime.fromisoformat(reminder["fires_at"]) == at(14)
        entry, *_ = orjson.loads(read_activity(alice, task_id, 0, 1).items)
        assert entry["changes"] == {
            "due_at": {"from": at(9).isoformat(), "to": at(15).isoformat()},
            "reason": {"from": "trocken, 18 °C, 50 km/h", "to": "trocken, 18 °C, 5 km/h"},
        }
        (event,) = recorded_events(task_id, kind=events.TASK_UPDATED)
        assert event.actor_id == alice.user_id
        assert event.data == moved | {
            "rescheduled": {"from": at(9).isoformat(), "to": at(15).isoformat(), "reason": "trocken, 18 °C, 5 km/h"}
        }

    def test_a_missed_deadline_can_be_missed_again(self, alice: Actor) -> None:
        task_id = warned_task(alice)
        with unit_of_work():
            execute("UPDATE tasks SET overdue_told = true WHERE id = %s", (task_id,))

        better_times.reschedule(alice, task_id, None, at(13), None)

        assert execute("SELECT overdue_told FROM tasks WHERE id = %s", (task_id,)).fetchone() == (False,)

    def test_a_task_that_is_there_already_does_not_change(self, alice: Actor) -> None:
        task_id = warned_task(alice, due_at=at(13))

        better_times.reschedule(alice, task_id, None, at(13), None)

        assert read_task(alice, task_id)["version"] == 1

    def test_a_task_that_is_due_on_a_day_gets_another_day(self, alice: Actor) -> None:
        set_profile(alice, timezone="America/Los_Angeles")
        task_id = warned_task(alice, due_on=date(2026, 1, 1), due_at=None)

        # It is still the day before in Los Angeles.
        better_times.reschedule(alice, task_id, at(28), None, None)

        assert read_task(alice, task_id)["due_on"] == MIDNIGHT.date().isoformat()

    @pytest.mark.parametrize(
        ("starts_at", "detail"),
        [
            (at(11.5), "The weather of the span does not satisfy the rule."),
            (at(71.5), "There is no forecast of the whole span."),
            (at(-48), "The span begins in the past."),
        ],
    )
    def test_a_span_that_is_not_available_is_refused(self, starts_at: datetime, detail: str, alice: Actor) -> None:
        task_id = warned_task(alice)

        with pytest.raises(Conflict, match=detail) as refused:
            better_times.reschedule(alice, task_id, starts_at, None, None)

        assert refused.value.stable_code == "span_not_available"
        assert read_task(alice, task_id)["version"] == 1

    def test_a_day_off_and_a_task_without_a_forecast_are_refused(self, alice: Actor) -> None:
        task_id = create_task(alice, due_on=MIDNIGHT.date())
        with pytest.raises(Conflict, match="no forecast"):
            better_times.reschedule(alice, task_id, at(12), None, None)

        weekend_day = "sun" if MIDNIGHT.weekday() != 6 else "sat"
        set_profile(alice, working_hours={"days": [weekend_day], "from": "08:00", "to": "20:00"})
        with pytest.raises(Conflict, match="does not work"):
            better_times.reschedule(alice, task_id, at(12), None, None)

    def test_a_change_by_somebody_else_meanwhile_is_noticed(
        self, alice: Actor, bob: Actor, start_blocked: Callable[..., Future[Any]]
    ) -> None:
        task_id = warned_task(alice, assignee_id=bob.user_id)

        with unit_of_work():
            tasks.update_task(bob, task_id, {"due_at": at(20)})
            moving = start_blocked(better_times.reschedule, alice, task_id, at(13), None, {1})

        with pytest.raises(PreconditionFailed):
            moving.result()
        assert datetime.fromisoformat(read_task(alice, task_id)["due_at"]) == at(20)
