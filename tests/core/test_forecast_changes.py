"""`task.forecast_changed` is recorded when people may decide differently, exactly once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from core.db import read, unit_of_work
from core.policy import Actor
from core.services.forecast_changes import note_forecasts, tell_changes
from core.services.task_access import lock_task
from tests.builders import create_task, read_task, update_task
from tests.forecasts import MIDNIGHT, create_place, forecast, hours, store_hours
from tests.polling import wait_until
from tests.recorded import RecordedEvent, recorded_events
from tests.sql import execute
from tests.threads import disconnecting, in_parallel

pytestmark = pytest.mark.usefixtures("database")

TOMORROW = datetime.now(UTC) + timedelta(hours=24)


@pytest.fixture
def place_id(database: None) -> int:
    return create_place("Oslo")


def forecast_comes(place_id: int, **values: Any) -> None:
    """Store a forecast and tell what has changed."""
    tell_changes({place_id: store_hours(place_id, **values)})


def told() -> list[RecordedEvent]:
    return recorded_events(kind="task.forecast_changed")


def test_listeners_are_told_what_has_changed(alice: Actor, bob: Actor, place_id: int) -> None:
    task_id = create_task(alice, place_id=place_id, due_at=TOMORROW, assignee_id=bob.user_id)
    forecast_comes(place_id)
    forecast_comes(place_id, weather_code=63.0, rain_probability=75.0, temperature=12.0)

    (event,) = told()
    task = read_task(alice, task_id)
    assert event.actor_id is None
    assert set(event.audience) == {alice.user_id, bob.user_id}
    assert event.data == task | {
        "changed": {
            "condition": {"from": "dry", "to": "rain"},
            "rain_probability": {"from": 10.0, "to": 75.0},
        }
    }
    assert (task["version"], task["forecast"]["condition"]) == (1, "moderate rain")


def test_the_first_forecast_and_small_changes_are_not_told(alice: Actor, place_id: int) -> None:
    create_task(alice, place_id=place_id, due_at=TOMORROW)
    for change in ({}, {"temperature": 13.9}, {"rain_probability": 29.0}, {"wind": 90.0}, {"weather_code": None}):
        forecast_comes(place_id, **change)

    assert told() == []


def test_a_slow_drift_is_told_against_what_was_told_last(alice: Actor, place_id: int) -> None:
    create_task(alice, place_id=place_id, due_at=TOMORROW)
    for temperature in (10.0, 12.0, 14.0, 12.0, 16.9, 17.0):
        forecast_comes(place_id, temperature=temperature)

    changed = [event.data["changed"]["temperature"] for event in told()]
    assert changed == [{"from": 10.0, "to": 14.0}, {"from": 14.0, "to": 17.0}]


def test_a_change_is_told_after_an_hour_without_values(alice: Actor, place_id: int) -> None:
    create_task(alice, place_id=place_id, due_at=TOMORROW)
    for temperature in (10.0, None, 14.0):
        forecast_comes(place_id, temperature=temperature)

    assert [event.data["changed"] for event in told()] == [{"temperature": {"from": 10.0, "to": 14.0}}]


@pytest.mark.parametrize("of", ["tasks", "users"])
def test_the_threshold_of_a_rule_counts(of: str, alice: Actor, place_id: int) -> None:
    create_task(alice, place_id=place_id, due_at=TOMORROW)
    execute("UPDATE tasks SET weather_rule = '{}'")
    execute(f"UPDATE {of} SET weather_rule = %s", (orjson.dumps({"max_rain_probability": 30}).decode(),))
    for probability in (25.0, 30.0, 31.0, 33.0):
        forecast_comes(place_id, rain_probability=probability)

    assert [event.data["changed"] for event in told()] == [{"rain_probability": {"from": 25.0, "to": 31.0}}]


def test_a_probability_that_trembles_around_the_limit_of_a_rule_is_told_once(alice: Actor, place_id: int) -> None:
    create_task(alice, place_id=place_id, due_at=TOMORROW, weather_rule={"max_rain_probability": 40})
    for probability in (38.0, 41.0, 39.0, 41.0, 38.0, 35.0, 38.0, 41.0):
        forecast_comes(place_id, rain_probability=probability)

    assert [event.data["changed"]["rain_probability"] for event in told()] == [
        {"from": 38.0, "to": 41.0},
        {"from": 41.0, "to": 35.0},
        {"from": 35.0, "to": 41.0},
    ]


@pytest.mark.parametrize(("hour", "is_told"), [(11, True), (23, False)], ids=["midday", "midnight"])
def test_a_task_without_a_time_is_told_of_midday(hour: int, is_told: bool, alice: Actor, place_id: int) -> None:
    create_task(alice, place_id=place_id, due_on=MIDNIGHT.date() + timedelta(days=1))
    for temperatures in ({}, {24 + hour: 20.0}):
        tell_changes({place_id: forecast(temperature=temperatures)})

    assert bool(told()) == is_told


def test_what_was_told_of_another_hour_of_the_day_is_not_compared(alice: Actor, place_id: int) -> None:
    create_task(alice, place_id=place_id, due_on=MIDNIGHT.date() + timedelta(days=1))
    tell_changes({place_id: forecast()})
    execute("UPDATE tasks SET forecast_told = jsonb_set(forecast_told::jsonb, '{due_at}', to_jsonb(due_at))")
    tell_changes({place_id: forecast(temperature=20.0)})
    before = told()
    tell_changes({place_id: forecast(temperature=10.0)})

    assert (before, len(told())) == ([], 1)


@pytest.mark.parametrize(
    "move",
    [{"due_at": TOMORROW + timedelta(hours=5)}, {"place_id": None}, {"status": "done"}],
    ids=["deadline", "place", "status"],
)
def test_another_deadline_or_place_is_no_change_of_the_forecast(
    move: dict[str, Any], alice: Actor, place_id: int
) -> None:
    task_id = create_task(alice, place_id=place_id, due_at=TOMORROW)
    forecast_comes(place_id)
    other = create_place("Bergen")
    update_task(alice, task_id, **({"place_id": other} if "place_id" in move else move))
    forecast_comes(place_id, temperature=20.0)
    forecast_comes(other, temperature=25.0)

    assert told() == []


def test_the_forecast_at_the_time_of_a_move_is_what_later_ones_are_compared_with(alice: Actor, place_id: int) -> None:
    task_id = create_task(alice, place_id=place_id, due_at=TOMORROW)
    known = store_hours(place_id)
    note_forecasts({place_id: known})
    update_task(alice, task_id, due_at=TOMORROW + timedelta(hours=5))
    note_forecasts({place_id: known})
    forecast_comes(place_id, temperature=20.0)

    assert [event.data["changed"]["temperature"] for event in told()] == [{"from": 11.0, "to": 20.0}]


def test_whoever_waits_for_a_task_to_tell_of_it_has_locked_no_other(alice: Actor, place_id: int) -> None:
    loud = create_task(alice, place_id=place_id, due_at=TOMORROW)
    forecast_comes(place_id)
    silent = create_task(alice, place_id=place_id, due_at=TOMORROW)
    changed = store_hours(place_id, temperature=20.0)
    with ThreadPoolExecutor(1) as pool, unit_of_work():
        lock_task(alice, loud)
        telling = pool.submit(disconnecting(tell_changes), {place_id: changed})
        wait_until(lambda: read("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)").fetch_value())
        lock_task(alice, silent)

    assert telling.result() == 1


def test_a_forecast_that_was_replaced_meanwhile_tells_nothing(alice: Actor, place_id: int) -> None:
    create_task(alice, place_id=place_id, due_at=TOMORROW)
    forecast_comes(place_id)
    replaced = store_hours(place_id, temperature=20.0)
    forecast_comes(place_id)

    tell_changes({place_id: replaced})

    assert told() == []


def test_each_change_is_told_once_however_many_processes_look(alice: Actor, place_id: int) -> None:
    for _ in range(5):
        create_task(alice, place_id=place_id, due_at=TOMORROW)
    forecast_comes(place_id)
    changed = hours(temperature=20.0)

    counts = in_parallel(lambda _: tell_changes({place_id: changed}), 8)

    assert sum(counts) == len(told()) == 5


def test_a_change_whose_event_cannot_be_recorded_is_told_the_next_time(
    alice: Actor, place_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_task(alice, place_id=place_id, due_at=TOMORROW)
    forecast_comes(place_id)

    with monkeypatch.context() as broken:
        broken.setattr("core.events.after_commit", lambda _callback: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            forecast_comes(place_id, temperature=20.0)
    before = told()
    forecast_comes(place_id, temperature=20.0)

    assert (before, len(told())) == ([], 1)


def test_all_tasks_of_many_places_are_compared_page_by_page(alice: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.services.forecast_changes._PAGE", 3)
    places = [create_place(name) for name in ("Oslo", "Bergen")]
    ids = [create_task(alice, place_id=place, due_at=TOMORROW) for _ in range(4) for place in places]
    for temperature in (10.0, 20.0):
        tell_changes(dict.fromkeys(places, hours(temperature=temperature)))

    assert sorted(event.data["id"] for event in told()) == ids
