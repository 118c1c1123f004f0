"""Forecasts are refreshed where open tasks need them: often for near deadlines, and within the budget."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from redis import Redis

from core import jobs
from core.config import Settings
from core.events import Event
from core.jobs import JobContext, JobRequest
from core.policy import Actor
from core.services import forecast_refresh
from core.services.forecast_refresh import follow, follow_task, has_work, refresh
from core.services.weather import enrich
from tests.builders import create_task, read_task, update_task
from tests.doubles.weather import WeatherServer
from tests.forecasts import HOUR
from tests.job_context import job_context
from tests.recorded import recorded_events
from tests.sql import execute
from tests.threads import in_parallel

NOW = datetime.now(UTC)
DAY = 24 * HOUR


@pytest.fixture
def sent() -> list[JobRequest]:
    return []


@pytest.fixture
def context(settings: Settings, weather: WeatherServer, redis: Redis, sent: list[JobRequest]) -> JobContext:
    urls = {"open_meteo_url": weather.url, "open_meteo_geocoding_url": weather.url}
    return job_context(settings.model_copy(update=urls), redis, sent.append)


def enriched(alice: Actor, context: JobContext, city: str, due_in: timedelta | None, **fields: Any) -> int:
    """Create a task that has its weather, its place and a forecast, and return its id."""
    task_id = create_task(alice, city=city, due_at=None if due_in is None else datetime.now(UTC) + due_in, **fields)
    enrich(context)
    return task_id


def age(by: timedelta) -> None:
    """Make everything that is stored about forecasts look older."""
    execute("UPDATE forecasts SET fetched_at = fetched_at - %(by)s, refresh_at = refresh_at - %(by)s", {"by": by})
    execute("UPDATE forecasts SET acted_on_at = fetched_at")


def as_json(data: dict[str, Any]) -> str:
    return orjson.dumps(data).decode()


def fetched(weather: WeatherServer) -> int:
    """For how many points forecasts were fetched since the last call."""
    points, weather.points = weather.points, 0
    return points


@pytest.mark.parametrize(
    ("due_in", "earliest", "latest"),
    [
        (5 * HOUR, 0.8 * HOUR, HOUR),
        (DAY + 3 * HOUR, 2.4 * HOUR, 3 * HOUR),
        (DAY + 1.5 * HOUR, 1.4 * HOUR, 1.6 * HOUR),
        (5 * DAY, 9.6 * HOUR, 12 * HOUR),
        (3 * DAY + 4 * HOUR, 3.9 * HOUR, 4.1 * HOUR),
        (16 * DAY + 13 * HOUR, 12 * HOUR, 37 * HOUR),
        (40 * DAY, 23 * HOUR, 25 * HOUR),
        (None, 23 * HOUR, 25 * HOUR),
    ],
    ids=str,
)
def test_nearer_deadlines_are_refreshed_more_often(
    due_in: timedelta | None, earliest: timedelta, latest: timedelta, alice: Actor, context: JobContext
) -> None:
    enriched(alice, context, "Oslo", due_in)

    ((wait,),) = execute("SELECT refresh_at - fetched_at FROM forecasts").fetchall()
    assert earliest <= wait <= latest


def test_a_place_is_fetched_again_when_its_forecast_is_too_old(
    alice: Actor, context: JobContext, weather: WeatherServer
) -> None:
    task_id = enriched(alice, context, "Oslo", 5 * HOUR)
    fetched(weather)
    fresh = (has_work(context), refresh(context), fetched(weather))
    age(HOUR)
    weather.expect("Oslo", NOW, NOW + DAY, temperature=17.0, rain_probability=80.0, weather_code=63)

    assert has_work(context)
    assert (fresh, refresh(context), fetched(weather)) == ((False, 0, 0), 1, 1)
    assert read_task(alice, task_id)["forecast"]["temperature"] == 17.0
    (event,) = recorded_events(kind="task.forecast_changed")
    assert event.data["changed"]["rain_probability"]["to"] == 80.0
    assert not has_work(context)


@pytest.mark.parametrize(
    "change", [{"status": "done"}, {"due_at": None}, {"due_at": NOW + 60 * DAY}], ids=["done", "no deadline", "far"]
)
def test_a_place_that_no_open_task_needs_costs_no_call(
    change: dict[str, Any], alice: Actor, context: JobContext, weather: WeatherServer
) -> None:
    task_id = enriched(alice, context, "Oslo", 5 * HOUR)
    update_task(alice, task_id, **change)
    fetched(weather)
    age(DAY)

    refresh(context)

    assert (fetched(weather), has_work(context)) == (0, False)


def test_a_deadline_that_moves_near_is_refreshed_soon(
    alice: Actor, context: JobContext, weather: WeatherServer
) -> None:
    task_id = enriched(alice, context, "Oslo", 5 * DAY)
    age(4 * HOUR)
    fetched(weather)
    before = has_work(context)
    moved = update_task(alice, task_id, due_at=datetime.now(UTC) + 5 * HOUR)

    for request in follow_task(Event(1, "task.updated", task_id, None, (), "", None, as_json(moved))):
        follow(context, *request.arguments)

    assert moved["forecast"]["horizon"] == "within"
    assert (before, has_work(context), refresh(context), fetched(weather)) == (False, True, 1, 1)


@pytest.mark.parametrize("change", [{"status": "done"}, {"due_at": None}, {"weather_status": "pending"}], ids=str)
def test_a_change_that_needs_no_forecast_causes_no_job(change: dict[str, Any]) -> None:
    task = {"place": {"id": 7}, "due_at": "2027-01-01T00:00:00Z", "status": "todo", "weather_status": "ready"}

    def jobs_after(data: dict[str, Any]) -> list[JobRequest]:
        return list(follow_task(Event(1, "task.updated", 1, None, (), "", None, as_json(data))))

    assert [request.arguments for request in jobs_after(task)] == [(7,)]
    assert jobs_after(task | change) == jobs_after(task | {"place": None}) == []


def test_an_event_of_an_earlier_release_causes_no_job_for_its_weather() -> None:
    task = {"id": 1, "city": "Oslo", "due_at": "2027-01-01T00:00:00Z", "status": "todo", "weather_status": "ready"}

    assert list(jobs.following_from(Event(1, "task.updated", 1, None, (), "", None, as_json(task)))) == []


def test_the_nearest_deadlines_come_first_within_the_budget(
    alice: Actor, context: JobContext, weather: WeatherServer
) -> None:
    for city, due_in in (("Oslo", 9 * HOUR), ("Paris", 3 * HOUR), ("Berlin", 6 * HOUR)):
        enriched(alice, context, city, due_in)
    age(2 * HOUR)
    fetched(weather)
    (used,) = execute("SELECT calls FROM weather_calls").fetchone()
    scarce = context.settings.model_copy(update={"weather_calls_per_day": used + 2})

    refreshed = [refresh(job_context(scarce, context.redis)) for _ in range(2)]

    newest = (
        "SELECT p.name FROM forecasts JOIN places p ON p.id = place_id WHERE fetched_at > now() - interval '1 hour'"
    )
    assert (refreshed, fetched(weather)) == ([2, 0], 2)
    assert {name for (name,) in execute(newest).fetchall()} == {"Paris", "Berlin"}
    assert (refresh(context), has_work(context)) == (1, False)


def test_a_place_that_cannot_be_fetched_is_put_off(alice: Actor, context: JobContext, weather: WeatherServer) -> None:
    enriched(alice, context, "Oslo", 5 * HOUR)
    age(2 * HOUR)
    weather.down = True

    assert (refresh(context), has_work(context)) == (0, False)

    weather.down = False
    execute("UPDATE forecasts SET refresh_at = now()")
    assert refresh(context) == 1


def test_many_places_are_fetched_with_one_call_and_the_rest_in_a_further_job(
    alice: Actor, context: JobContext, weather: WeatherServer, sent: list[JobRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forecast_refresh, "_PLACES", 2)
    for city in ("Oslo", "Paris", "Berlin"):
        enriched(alice, context, city, 5 * HOUR)
    age(2 * HOUR)
    calls = weather.calls

    first = (refresh(context), weather.calls - calls, sent.count(JobRequest("forecasts.refresh")))
    second = (refresh(context), weather.calls - calls, sent.count(JobRequest("forecasts.refresh")))

    assert (first, second) == ((2, 1, 1), (1, 2, 1))


def test_what_follows_from_a_forecast_is_repeated_if_the_process_dies(
    alice: Actor, context: JobContext, weather: WeatherServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> int:
        raise SystemExit

    enriched(alice, context, "Oslo", 5 * HOUR)
    age(2 * HOUR)
    weather.expect("Oslo", NOW, NOW + DAY, temperature=17.0)
    with monkeypatch.context() as dying:
        dying.setattr(forecast_refresh, "tell_changes", die)
        pytest.raises(SystemExit, refresh, context)
    execute("UPDATE forecasts SET fetched_at = fetched_at - interval '2 minutes'")
    before = recorded_events(kind="task.forecast_changed")

    assert (before, has_work(context), refresh(context)) == ([], True, 1)
    assert len(recorded_events(kind="task.forecast_changed")) == 1
    assert not has_work(context)


def test_only_one_process_refreshes(alice: Actor, context: JobContext, weather: WeatherServer) -> None:
    enriched(alice, context, "Oslo", 5 * HOUR)
    age(2 * HOUR)
    fetched(weather)

    in_parallel(lambda _: refresh(context), 4)

    assert fetched(weather) == 1
