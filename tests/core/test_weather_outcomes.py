"""What the weather has done to tasks: each kind is counted once for a task, and stays when the task is deleted."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from redis import Redis

from core.config import Settings
from core.db import unit_of_work
from core.jobs import JobContext
from core.policy import Actor
from core.services import tasks
from core.services.weather_outcomes import MOVED, read_weather_figures, record_outcome
from core.services.weather_rules import judge_waiting
from tests.builders import update_task
from tests.forecasts import BAD, GOOD, arrive, create_outdoor_task, create_place, forecast
from tests.job_context import job_context
from tests.sql import execute

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def context(settings: Settings, redis: Redis) -> JobContext:
    return job_context(settings, redis)


def test_warned_and_done_tasks_are_counted_once_for_each_place(
    context: JobContext, alice: Actor, bob: Actor, ada: Actor
) -> None:
    place_id = create_place()
    done, late, good = (
        create_outdoor_task(alice, place_id),
        create_outdoor_task(alice, place_id),
        create_outdoor_task(alice, place_id, weather_rule={"max_gusts": 90}),
    )
    create_outdoor_task(bob, place_id)
    for gusts in (BAD, GOOD, BAD):
        arrive(place_id, forecast(gusts))
    with unit_of_work():
        execute("SET LOCAL session_replication_role = replica")
        execute("UPDATE tasks SET due_at = now() - interval '1 second' WHERE id = %s", (late,))
    judge_waiting(context)
    for actor, task_id in ((alice, done), (alice, late), (alice, good)):
        update_task(actor, task_id, status="done")
    judge_waiting(context)
    tasks.delete_task(alice, done)

    counts = {"warned": 2, "moved": 0, "done_in_spite": 2}
    oslo = {"place_id": place_id, "name": "Oslo", "country_code": "NO"}
    figures = read_weather_figures(alice)
    assert (figures.total, figures.by_place) == (counts, [oslo | counts])
    assert read_weather_figures(bob).total == {"warned": 1, "moved": 0, "done_in_spite": 0}
    assert read_weather_figures(ada).total == {"warned": 3, "moved": 0, "done_in_spite": 2}
    today = figures.as_of.date()
    assert read_weather_figures(alice, today, today).total == counts
    nothing = dict.fromkeys(counts, 0)
    yesterday, tomorrow = today - timedelta(days=1), today + timedelta(days=1)
    others = [read_weather_figures(alice, *span).total for span in ((None, yesterday), (tomorrow, None))]
    assert others == [nothing, nothing]


def test_a_task_that_was_moved_to_another_place_counts_once_in_the_total(alice: Actor) -> None:
    places = [create_place(name) for name in ("Oslo", "Bergen")]
    task_id = create_outdoor_task(alice, places[0])
    for place_id in places:
        update_task(alice, task_id, place_id=place_id)
        with unit_of_work():
            record_outcome(MOVED, task_id)

    figures = read_weather_figures(alice)

    assert figures.total["moved"] == 1
    assert [(place["name"], place["moved"]) for place in figures.by_place] == [("Oslo", 1), ("Bergen", 1)]


def test_the_places_of_the_figures_are_limited_and_the_total_is_not(
    alice: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.services.weather_outcomes._MOST_PLACES", 2)
    for name in ("Oslo", "Bergen", "Tromsø"):
        task_id = create_outdoor_task(alice, create_place(name))
        with unit_of_work():
            record_outcome(MOVED, task_id)

    figures = read_weather_figures(alice)

    assert (figures.total["moved"], len(figures.by_place)) == (3, 2)


@pytest.mark.parametrize(("zone", "day"), [("UTC", 1), ("America/Los_Angeles", 1), ("Asia/Tokyo", 2)])
def test_the_days_of_the_figures_are_those_of_the_reader(alice: Actor, zone: str, day: int) -> None:
    task_id = create_outdoor_task(alice, create_place())
    with unit_of_work():
        record_outcome(MOVED, task_id)
        execute("UPDATE weather_outcomes SET at = '2026-07-01T18:00:00Z'")

    reader = replace(alice, timezone=zone)
    moved = {
        number: read_weather_figures(reader, date(2026, 7, number), date(2026, 7, number)).total["moved"]
        for number in (1, 2)
    }
    assert moved == {1: int(day == 1), 2: int(day == 2)}
