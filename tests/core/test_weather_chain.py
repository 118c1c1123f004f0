"""What follows from a refreshed forecast: people are warned and the task is moved, once, whoever dies or competes."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis import Redis

from core.config import Settings
from core.jobs import JobContext
from core.policy import Actor
from core.services import forecast_refresh
from core.services.forecast_refresh import follow_up, has_work, refresh
from core.services.forecasts import read_forecasts
from core.services.weather import enrich
from core.services.weather_rules import judge_waiting
from tests.builders import create_task, read_task
from tests.doubles.weather import WeatherServer
from tests.job_context import job_context
from tests.recorded import recorded_types
from tests.sql import execute
from tests.threads import in_parallel

HOUR = timedelta(hours=1)
MIDNIGHT = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
NOON = MIDNIGHT + 12 * HOUR
ONCE = ["task.created", "task.enriched", "task.forecast_changed", "task.weather_warned", "task.updated"]


@pytest.fixture
def context(settings: Settings, weather: WeatherServer, redis: Redis) -> JobContext:
    urls = {"open_meteo_url": weather.url, "open_meteo_geocoding_url": weather.url}
    return job_context(settings.model_copy(update=urls), redis)


@pytest.fixture
def task_id(alice: Actor, context: JobContext, weather: WeatherServer) -> int:
    """A task in Oslo at noon of tomorrow that may be moved, and for which the provider now expects a storm."""
    weather.expect("Oslo", MIDNIGHT, MIDNIGHT + 24 * HOUR, temperature=15.0, rain_probability=0.0, gusts=20.0)
    task_id = create_task(
        alice,
        city="Oslo",
        due_at=NOON,
        weather_rule={"max_gusts": 50.0},
        auto_reschedule={"not_after": (MIDNIGHT + 24 * HOUR).isoformat()},
    )
    enrich(context)
    judge_waiting(context)
    assert read_task(alice, task_id)["weather_state"] == "ok"
    weather.expect("Oslo", NOON - 6 * HOUR, NOON + HOUR, gusts=80.0, rain_probability=60.0)
    return task_id


def make_due() -> None:
    """Let the forecasts be so old that they are refreshed, and what was interrupted be so old that it is repeated."""
    execute("UPDATE forecasts SET fetched_at = fetched_at - interval '12 hours', refresh_at = now() - interval '1 day'")
    execute("UPDATE forecasts SET acted_on_at = fetched_at WHERE acted_on_at IS NOT NULL")


def assert_moved_once(alice: Actor, task_id: int, context: JobContext) -> None:
    judge_waiting(context)
    task = read_task(alice, task_id)
    assert recorded_types(task_id)[: len(ONCE)] == ONCE
    assert set(recorded_types(task_id)[len(ONCE) :]) <= {"task.weather_cleared"}
    assert (datetime.fromisoformat(task["due_at"]) > NOON, task["weather_state"], task["version"]) == (True, "ok", 3)
    kinds = [kind for (kind,) in execute("SELECT kind FROM notifications ORDER BY id").fetchall()]
    assert (kinds.count("weather_warned"), kinds.count("rescheduled")) == (1, 1)
    outcomes = execute("SELECT kind FROM weather_outcomes ORDER BY id").fetchall()
    assert outcomes == [("warned",), ("moved",)]


def test_a_refresh_warns_and_moves(alice: Actor, task_id: int, context: JobContext) -> None:
    make_due()

    assert refresh(context) == 1

    assert_moved_once(alice, task_id, context)
    assert not has_work(context)


@pytest.mark.parametrize("step", ["tell_changes", "judge_place", "auto_reschedule_place"])
@pytest.mark.parametrize("is_done", [False, True], ids=["before", "after"])
def test_what_a_killed_process_has_left_is_done_once(
    step: str,
    is_done: bool,
    alice: Actor,
    task_id: int,
    context: JobContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: Any = getattr(forecast_refresh, step)

    def die(*arguments: Any) -> None:
        if is_done:
            done(*arguments)
        raise SystemExit

    make_due()
    with monkeypatch.context() as dying:
        dying.setattr(forecast_refresh, step, die)
        pytest.raises(SystemExit, refresh, context)
    execute("UPDATE forecasts SET fetched_at = fetched_at - interval '2 minutes', refresh_at = now() + interval '1 h'")

    assert (has_work(context), refresh(context)) == (True, 1)

    assert_moved_once(alice, task_id, context)
    assert not has_work(context)


def test_processes_at_the_same_time_warn_and_move_once(alice: Actor, task_id: int, context: JobContext) -> None:
    make_due()
    ((place_id,),) = execute("SELECT place_id FROM tasks").fetchall()
    forecast_refresh.fetch_weather(context, [place_id])
    forecasts = read_forecasts([place_id])

    in_parallel(lambda _: follow_up(forecasts), 4)

    assert_moved_once(alice, task_id, context)
