"""The data of the demonstration, and its weather server."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
import requests
from redis import Redis

from core.config import Settings
from core.db import unit_of_work
from core.demo.climate import PLACES, conditions, forecast
from core.demo.seed import TASKS, Seeded, has_accounts, seed
from core.demo.tasks import DAYS
from core.demo.texts import GROUPS, PEOPLE
from core.demo.weather_server import DemoWeather
from core.errors import Rejected
from core.models.account import User
from core.models.collaboration import Comment, TaskActivity
from core.models.notification import Notification
from core.models.place import Place
from core.models.task import Task
from core.policy import Actor, Role
from core.services import better_times, failed_work, reminders, weather_rules
from core.services.activity import read_activity
from core.services.analytics import read_figures
from core.services.failed_work import Filter
from core.services.feedback import list_feedback
from core.services.forecasts import read_forecasts, store_forecasts
from core.services.notifications import list_notifications
from core.services.weather import enrich
from core.services.weather_outcomes import read_weather_figures
from core.weather import OpenMeteo, Point
from tests.builders import create_actor, read_task
from tests.forecasts import fine_forecast
from tests.job_context import job_context
from tests.sql import execute

NOW = datetime(2026, 6, 17, 12, tzinfo=UTC)


def tasks() -> list[dict[str, Any]]:
    """Return what must be the same if the data are written again: everything but ids."""
    columns = (
        Task.title,
        Task.status,
        Task.due_at,
        Task.due_on,
        Task.city,
        Task.weather,
        Task.weather_rule,
        Task.weather_state,
        Task.auto_reschedule,
        Task.created_at,
        Task.version,
    )
    return list(Task.select(*columns).order_by(Task.id).dicts())


def write(number: int = 1, now: datetime = NOW) -> Seeded:
    return seed(number, "-", now)


def test_the_data_are_the_same_for_the_same_number(database: None, empty_all_tables: str) -> None:
    seen = []
    for number in (1, 1, 2):
        execute(empty_all_tables)
        write(number)
        seen.append(tasks())

    assert seen[0] == seen[1]
    assert seen[0] != seen[2]


def test_the_data_are_believable(database: None) -> None:
    written = write()

    found = tasks()
    by_status = Counter(task["status"] for task in found)
    assert (written.people, written.groups, written.tasks) == (len(PEOPLE), len(GROUPS), TASKS)
    assert written.comments == Comment.select().count() > TASKS / 4
    assert all(NOW - timedelta(days=DAYS) <= task["created_at"] <= NOW for task in found)
    assert len({task["created_at"].date() for task in found}) > DAYS / 2
    assert all(by_status[status] > TASKS / 20 for status in ("todo", "in_progress", "done"))
    assert sum(task["weather"] is not None for task in found) > TASKS / 2
    assert any(task["due_at"] and task["due_at"] < NOW and task["status"] != "done" for task in found)
    assert TaskActivity.select().where(TaskActivity.at > NOW).count() == 0
    assert {user.role for user in User.select()} == set(Role)


def test_open_tasks_have_forecasts_and_some_are_warned(database: None) -> None:
    write()

    is_near = Task.due_at.between(NOW, NOW + timedelta(days=14))
    near = list(Task.select().where(is_near, Task.status != "done", Task.place_id.is_null(False)))
    forecasts = read_forecasts({task.place_id for task in near})
    assert all(forecasts[task.place_id].at(task.due_at) for task in near)
    states = Counter(task.weather_state for task in near)
    assert all(states[state] >= 5 for state in ("ok", "warned", None))
    assert sum(task.due_on is not None for task in near) >= 2
    assert sum(task.auto_reschedule is not None for task in near) >= 2


def test_the_person_who_signs_in_finds_better_times_of_warned_tasks(database: None) -> None:
    write(now=datetime.now(UTC))
    ada = User.named("ada")
    assert ada is not None
    assert (ada.weather_rule, ada.working_hours) == (PEOPLE[0].rule, PEOPLE[0].working_hours)

    warned = execute("SELECT id FROM tasks WHERE weather_state = 'warned' ORDER BY id").fetchall()
    found = [better_times.find(Actor(ada.id, Role.ADMIN, 0), task_id, None, None, 5) for (task_id,) in warned]
    assert {times.status for times in found} == {"ready"}
    assert any(times.offers for times in found)


def test_workers_agree_with_the_written_states_and_tell_nobody(
    database: None, settings: Settings, redis: Redis
) -> None:
    now = datetime.now(UTC)
    write(now=now)
    # The deadline of a task that is left out here may pass between the seed and the judgement.
    is_kept = Task.due_at.is_null() | (Task.due_at <= now) | (Task.due_at > now + timedelta(hours=1))
    about = Task.select(Task.id, Task.weather_state, Task.weather_warned_by).where(is_kept).order_by(Task.id)
    states, told = list(about.dicts()), Notification.select().count()

    assert weather_rules.judge_waiting(job_context(settings, redis)) > 0

    assert list(about.dicts()) == states
    assert Notification.select().count() == told
    assert execute("SELECT count(*) FROM events").fetchone() == (0,)


def test_a_place_that_is_known_keeps_its_forecast(database: None) -> None:
    """Tasks of real people at this place must not be judged by weather that is made up."""
    oslo = next(place for place in PLACES if place.name == "Oslo")
    with unit_of_work():
        found = {"reference": f"open-meteo:{oslo.id}", "name": "Christiania", "latitude": 59.9, "longitude": 10.7}
        place_id = int(Place.insert(found).execute())
        store_forecasts({place_id: fine_forecast(NOW - timedelta(hours=1), 48)})

    write()

    assert read_forecasts([place_id]) == {place_id: fine_forecast(NOW - timedelta(hours=1), 48)}
    assert Place.get_by_id(place_id).name == "Christiania"
    assert Task.select().where(Task.place_id == place_id).exists()


def test_warnings_are_in_the_notifications_and_in_the_figures(database: None) -> None:
    write()
    warned = Task.select().where(Task.weather_state == "warned").order_by(Task.id).first()
    owner = Actor(warned.user_id, Role.USER, 0)

    told = orjson.loads(list_notifications(owner, unread=False, skip=0, limit=1000).items)
    (about,) = [each for each in told if each["task_id"] == warned.id and each["kind"] == "weather_warned"]
    limits = {reason["limit"] for reason in about["details"]["weather"]["reasons"]}
    assert limits == set(warned.weather_warned_by)
    assert read_weather_figures(owner).total["warned"] >= 1


def failed() -> list[dict[str, Any]]:
    work: list[dict[str, Any]] = orjson.loads(failed_work.list_failed_work(Filter(), None, 0, 10).items)
    return work


def test_failed_work_is_done_when_it_is_tried_again(database: None, settings: Settings, redis: Redis) -> None:
    write(now=datetime.now(UTC))
    before = failed()
    shown = {(work["kind"], work["state"], work["attempts"]) for work in before}
    assert (len(before), shown) == (2, {("weather", "given_up", settings.weather_attempts)})
    assert all(work["reason"] for work in before)

    failed_work.retry_matching(None, Filter())
    with DemoWeather() as server:
        urls = {"open_meteo_url": server.url, "open_meteo_geocoding_url": server.url}
        context = job_context(settings.model_copy(update=urls), redis)
        while enrich(context):
            pass

    assert failed() == []
    again = Task.select().where(Task.id.in_([work["id"] for work in before]))
    assert {task.weather_status for task in again} == {"ready"}


def test_several_people_have_given_feedback(database: None) -> None:
    write()

    said = orjson.loads(list_feedback(None, 0, 100).items)
    times = [feedback["created_at"] for feedback in said]
    assert len({feedback["user_id"] for feedback in said}) == len(said) > 3
    assert len({feedback["rating"] for feedback in said}) > 2
    assert times == sorted(set(times), reverse=True)
    assert datetime.fromisoformat(times[0]) < NOW


def test_the_data_fit_the_use_cases(database: None) -> None:
    write()
    ada = User.named("ada")
    assert ada is not None
    actor = Actor(ada.id, Role.ADMIN, 0)
    task = Task.select().where(Task.status == "done").order_by(Task.id).first()

    assert sum(read_figures(actor).by_status.values()) == TASKS
    assert read_task(actor, task.id)["completed"] is True
    history = orjson.loads(read_activity(actor, task.id, 0, 100).items)
    assert {"from": "in_progress", "to": "done"} in [entry["changes"].get("status") for entry in history]


def test_nobody_is_told_of_what_is_long_past(database: None) -> None:
    write(now=datetime.now(UTC))

    assert (reminders.notify_overdue(), reminders.fire_reminders()) == (0, 0)


def test_nothing_is_written_if_a_name_is_taken(database: None) -> None:
    create_actor("thandi")

    with pytest.raises(Rejected):
        write()

    assert has_accounts()
    assert (User.select().count(), Task.select().count()) == (1, 0)


def test_the_weather_follows_the_season() -> None:
    oslo = next(place for place in PLACES if place.name == "Oslo")
    january, july = (
        [conditions(oslo, datetime(2026, month, day, 12, tzinfo=UTC)).temperature for day in range(1, 29)]
        for month in (1, 7)
    )

    assert sum(january) / len(january) < 0
    assert sum(july) / len(july) > 12
    assert conditions(oslo, NOW) == conditions(oslo, NOW)


def test_the_provider_understands_the_weather_server() -> None:
    with DemoWeather() as server:
        provider = OpenMeteo(server.url, server.url, 5.0)
        (found,) = provider.search("zürich", 1)
        (weather,) = provider.forecasts([found.point])

        assert weather is not None
        report = weather.current
        assert report is not None
        assert report.location == "Zürich, Switzerland"
        assert -40 < report.temperature < 45
        assert report.condition != "unknown"
        assert provider.search("Xyzzy", 1) == []


def test_the_weather_server_sends_the_made_up_weather_of_many_points() -> None:
    """The seed stores the forecasts itself, so the first real fetch must find the same weather."""
    cities = PLACES[:3]
    with DemoWeather() as server:
        sent = OpenMeteo(server.url, server.url, 5.0).forecasts(
            [Point(city.latitude, city.longitude, city.name) for city in cities]
        )

    forecasts = [weather.forecast for weather in sent if weather is not None]
    assert forecasts == [
        replace(forecast(city, fetched.starts_at, "open-meteo"), fetched_at=fetched.fetched_at)
        for city, fetched in zip(cities, forecasts, strict=True)
    ]
    assert [weather and weather.current and weather.current.location for weather in sent] == [
        city.name for city in cities
    ]


@pytest.mark.parametrize(
    ("name", "count", "found"),
    [
        ("paris", 10, ["Île-de-France", "Texas"]),
        ("Paris", 1, ["Île-de-France"]),
        ("reykjavik", 10, ["Capital Region"]),
        ("Lon", 10, ["England", "Ontario"]),
        ("Lo", 10, []),
    ],
)
def test_the_weather_server_finds_the_largest_place_of_a_name_first(name: str, count: int, found: list[str]) -> None:
    with DemoWeather() as server:
        places = OpenMeteo(server.url, server.url, 5.0).search(name, count)

    assert [place.region for place in places] == found


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/forecast?latitude=north", 400),
        ("/v1/forecast?latitude=1,2&longitude=1&current=weather_code&hourly=precipitation&forecast_days=1", 400),
        ("/v1/search", 400),
        ("/", 404),
    ],
)
def test_the_weather_server_refuses_what_it_does_not_understand(path: str, status: int) -> None:
    with DemoWeather() as server:
        assert requests.get(server.url + path, timeout=5).status_code == status
