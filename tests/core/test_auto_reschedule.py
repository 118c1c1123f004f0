"""Warned tasks are moved by a worker: to the best span within their bounds, once, and never against a person."""

from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from redis import Redis

from core import events, jobs
from core.config import Settings
from core.db import unit_of_work
from core.events import Event
from core.jobs import JobRequest
from core.policy import Actor
from core.services import reminders, tasks
from core.services.activity import read_activity
from core.services.auto_reschedule import auto_reschedule_place, auto_reschedule_task, move_warned
from core.services.weather_rules import judge_task
from tests.builders import create_task, read_task
from tests.forecasts import HOUR, create_place, fine_forecast
from tests.job_context import job_context
from tests.recorded import recorded_events, recorded_types
from tests.sql import execute
from tests.threads import in_parallel

pytestmark = pytest.mark.usefixtures("database")

MIDNIGHT = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
# The wind is too strong until noon of the first day.
WINDY: dict[int, float | None] = dict.fromkeys(range(12), 50)


def at(hours: float) -> datetime:
    """Return a time of the first day of the forecast, or of a later one."""
    return MIDNIGHT + hours * HOUR


def until(hours: float) -> dict[str, str]:
    return {"not_after": at(hours).isoformat()}


@pytest.fixture
def place_id() -> int:
    return create_place(forecast=fine_forecast(MIDNIGHT, 72, wind=WINDY))


@pytest.fixture
def warned(alice: Actor, place_id: int) -> Callable[..., int]:
    """Return a function that creates a task of Alice, at nine in too much wind, of which she has been warned."""

    def create(**fields: Any) -> int:
        given = {
            "place_id": place_id,
            "due_at": at(9),
            "weather_rule": {"max_wind": 30},
            "weather_state": "warned",
            "auto_reschedule": until(72),
        }
        return create_task(alice, **given | fields)

    return create


def deadline(actor: Actor, task_id: int) -> datetime:
    return datetime.fromisoformat(read_task(actor, task_id)["due_at"])


def moved(actor: Actor, task_id: int) -> datetime | None:
    """Let a worker move the task, and return its new deadline, or None if it was not moved."""
    due_at = deadline(actor, task_id)
    return deadline(actor, task_id) if auto_reschedule_task(task_id, due_at) else None


def set_columns(task_id: int, **columns: Any) -> None:
    assignments = ", ".join(f"{name} = %({name})s" for name in columns)
    with unit_of_work():
        execute(f"UPDATE tasks SET {assignments} WHERE id = %(id)s", columns | {"id": task_id})


def test_a_task_is_moved_and_its_people_learn_why(alice: Actor, bob: Actor, warned: Callable[..., int]) -> None:
    task_id = warned(assignee_id=bob.user_id, duration_minutes=120)
    reminders.create_reminder(alice, task_id, None, 3600)

    assert moved(alice, task_id) == at(14)

    task = read_task(alice, task_id)
    assert task["version"] == 2
    (reminder,) = orjson.loads(reminders.list_reminders(alice, task_id).items)
    assert datetime.fromisoformat(reminder["fires_at"]) == at(13)
    entry, *_ = orjson.loads(read_activity(alice, task_id, 0, 1).items)
    assert (entry["type"], entry["actor_id"]) == (events.TASK_UPDATED, None)
    assert entry["changes"]["reason"] == {"from": "dry, 18 °C, 50 km/h", "to": "dry, 18 °C, 5 km/h"}
    (event,) = recorded_events(task_id, kind=events.TASK_UPDATED)
    assert event.audience == [alice.user_id, bob.user_id]
    told = {"from": at(9).isoformat(), "to": at(14).isoformat(), "reason": "dry, 18 °C, 5 km/h"}
    assert event.data == task | {"rescheduled": told}
    notified = recorded_events(kind=events.NOTIFICATION_CREATED)[-2:]
    assert [event.audience for event in notified] == [[alice.user_id], [bob.user_id]]
    for event in notified:
        assert (event.data["kind"], event.data["task_id"]) == ("rescheduled", task_id)
        assert event.data["text"].startswith(
            "The task “Clean the gutters” was moved to better weather: wind of 5 km/h ("
        )
        assert event.data["details"]["weather"]["reasons"] == [
            {"limit": "max_wind", "allowed": 30, "expected": 5, "at": at(12).isoformat()}
        ]
    assert execute("SELECT kind FROM weather_outcomes WHERE task_id = %s", (task_id,)).fetchall() == [("moved",)]


def test_the_move_ends_the_warning(alice: Actor, warned: Callable[..., int]) -> None:
    task_id = warned()
    moved(alice, task_id)

    judge_task(task_id)

    assert read_task(alice, task_id)["weather_state"] == "ok"
    assert recorded_types(task_id) == [events.TASK_CREATED, events.TASK_UPDATED, events.TASK_WEATHER_CLEARED]


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        (until(13), at(13)),
        (until(12.5), None),
        ({"not_before": at(15).isoformat()} | until(72), at(16)),
        ({"not_before": at(21).isoformat()} | until(72), at(33)),
        ({"not_before": at(-500).isoformat()} | until(-400), None),
    ],
)
def test_the_bounds_are_kept(
    bounds: dict[str, str], expected: datetime | None, alice: Actor, warned: Callable[..., int]
) -> None:
    assert moved(alice, warned(auto_reschedule=bounds)) == expected


@pytest.mark.parametrize(("latest", "days"), [(47, None), (48, 1), (60, 1)])
def test_a_day_is_not_moved_to_a_day_that_ends_after_the_bound(
    latest: float, days: int | None, alice: Actor, warned: Callable[..., int]
) -> None:
    task_id = warned(due_at=None, due_on=MIDNIGHT.date(), auto_reschedule=until(latest))

    moved_to = moved(alice, task_id)

    assert moved_to == (None if days is None else at(24 * (days + 1)) - timedelta(seconds=1))
    assert read_task(alice, task_id)["due_on"] == (MIDNIGHT.date() + timedelta(days=days or 0)).isoformat()


def test_a_day_off_is_moved_to_a_working_day(alice: Actor, warned: Callable[..., int]) -> None:
    second_day = (MIDNIGHT + timedelta(days=1)).strftime("%a").lower()
    working_hours = orjson.dumps({"days": [second_day], "from": "08:00", "to": "20:00"}).decode()
    with unit_of_work():
        execute("UPDATE users SET working_hours = %s WHERE id = %s", (working_hours, alice.user_id))

    assert moved(alice, warned(due_at=None, due_on=MIDNIGHT.date())) == at(48) - timedelta(seconds=1)


def test_a_task_is_moved_at_most_once_a_day(alice: Actor, warned: Callable[..., int]) -> None:
    task_id = warned()
    assert moved(alice, task_id)

    set_columns(task_id, due_at=at(9))
    assert moved(alice, task_id) is None

    set_columns(task_id, rescheduled_at=datetime.now(UTC) - timedelta(hours=24))
    assert moved(alice, task_id)


@pytest.mark.parametrize(
    "others",
    [
        {"status": "done"},
        {"weather_state": "ok"},
        {"auto_reschedule": None},
        {"weather_rule": None},
        {"due_at": at(13)},
        {"due_at": at(-48)},
        {"due_at": at(500)},
        {"place_id": None},
    ],
    ids="-".join,
)
def test_other_tasks_are_not_moved(others: dict[str, Any], alice: Actor, warned: Callable[..., int]) -> None:
    task_id = warned(**others)

    assert moved(alice, task_id) is None
    assert recorded_types(task_id) == [events.TASK_CREATED]


def test_a_deadline_that_has_changed_since_the_warning_is_kept(alice: Actor, warned: Callable[..., int]) -> None:
    task_id = warned(due_at=at(10))

    assert not auto_reschedule_task(task_id, at(9))
    assert deadline(alice, task_id) == at(10)


def test_a_deadline_that_somebody_is_changing_is_kept(
    alice: Actor, warned: Callable[..., int], start_blocked: Callable[..., Future[Any]]
) -> None:
    task_id = warned()

    with unit_of_work():
        tasks.update_task(alice, task_id, {"due_at": at(10)})
        moving = start_blocked(auto_reschedule_task, task_id, at(9))

    assert not moving.result()
    assert deadline(alice, task_id) == at(10)


def test_parallel_workers_move_a_task_once(alice: Actor, warned: Callable[..., int]) -> None:
    task_id = warned()

    assert sorted(in_parallel(lambda _: auto_reschedule_task(task_id, at(9)), 4)) == [False, False, False, True]
    assert recorded_types(task_id) == [events.TASK_CREATED, events.TASK_UPDATED]


def test_tasks_of_one_owner_that_are_moved_at_the_same_time_do_not_overlap(
    alice: Actor, warned: Callable[..., int]
) -> None:
    ids = [warned() for _ in range(4)]

    assert all(in_parallel(lambda number: auto_reschedule_task(ids[number], at(9)), 4))
    assert len({deadline(alice, task_id) for task_id in ids}) == 4


def test_an_interrupted_move_is_repeated(alice: Actor, warned: Callable[..., int]) -> None:
    task_id = warned()

    def die_before_the_commit() -> None:
        with unit_of_work():
            assert auto_reschedule_task(task_id, at(9))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        die_before_the_commit()

    assert deadline(alice, task_id) == at(9)
    assert moved(alice, task_id) == at(13)


def test_a_new_forecast_moves_the_warned_tasks_of_its_place(
    alice: Actor, place_id: int, warned: Callable[..., int]
) -> None:
    ids = [warned(), warned(status="done"), warned()]
    with unit_of_work():
        execute("INSERT INTO places (reference, name, latitude, longitude) VALUES ('tests:2', 'Null Island', 0, 0)")
    (elsewhere,) = execute("SELECT max(id) FROM places").fetchone()
    ids.append(warned(place_id=elsewhere))

    assert [auto_reschedule_place(place_id) for _ in range(2)] == [2, 0]
    assert [deadline(alice, task_id) for task_id in ids] == [at(13), at(9), at(14), at(9)]


def test_a_warning_causes_the_move_of_a_task_that_may_be_moved(
    alice: Actor, warned: Callable[..., int], settings: Settings, redis: "Redis[bytes]"
) -> None:
    ids = [warned(), warned(auto_reschedule=None)]

    requests = [request for task_id in ids for request in following_from_warning(alice, task_id)]

    (request,) = requests
    assert request.name == jobs.WEATHER_RESCHEDULE.name
    assert move_warned(job_context(settings, redis), *request.arguments) == 1
    assert move_warned(job_context(settings, redis), *request.arguments) == 0
    assert deadline(alice, ids[0]) == at(13)


def following_from_warning(actor: Actor, task_id: int) -> list[JobRequest]:
    data = orjson.dumps(read_task(actor, task_id)).decode()
    event = Event(1, events.TASK_WEATHER_WARNED, task_id, None, (actor.user_id,), "2026-05-01T00:00:00Z", None, data)
    return [request for request in jobs.following_from(event) if request.name == jobs.WEATHER_RESCHEDULE.name]
