"""Weather for tasks: one search for a city, one forecast for many, retries after outages, and no lost task."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from core import db
from core.config import Settings
from core.db import unit_of_work
from core.jobs import JobContext, JobRequest
from core.policy import Actor
from core.services import publication, tasks
from core.services.weather import WAITING, enrich
from core.services.weather_calls import WeatherCalls
from core.weather import ProviderUnavailable
from tests.builders import create_task, read_task
from tests.doubles.weather import Handler, WeatherServer
from tests.job_context import job_context
from tests.recorded import recorded_types
from tests.sql import execute
from tests.threads import in_parallel

ATTEMPTS = 3


@pytest.fixture
def weather_settings(settings: Settings, weather: WeatherServer) -> Settings:
    return settings.model_copy(
        update={
            "open_meteo_url": weather.url,
            "open_meteo_geocoding_url": weather.url,
            "weather_attempts": ATTEMPTS,
            "weather_retry_seconds": 60.0,
        }
    )


@pytest.fixture
def context(weather_settings: Settings, redis: Redis) -> JobContext:
    return job_context(weather_settings, redis)


def searches(weather: WeatherServer) -> int:
    return sum(count for (path, _), count in weather.requests.items() if path == "/v1/search")


def fetches(weather: WeatherServer) -> int:
    return sum(count for (path, _), count in weather.requests.items() if path == "/v1/forecast")


def make_due() -> None:
    with unit_of_work():
        execute("UPDATE tasks SET weather_next_attempt_at = now() - interval '10 s' WHERE weather_status = 'pending'")


def test_the_weather_is_stored_and_recorded_as_an_event(alice: Actor, context: JobContext) -> None:
    task_id = create_task(alice, city="London")

    enrich(context)

    task = read_task(alice, task_id)
    assert (task["weather_status"], task["weather"]["temperature"], task["version"]) == ("ready", 11.4, 2)
    recorded = execute("SELECT data FROM events WHERE type = 'task.enriched'").fetchone()
    assert recorded == (task,)


def test_parallel_jobs_send_one_request_for_all_tasks_of_a_city(
    alice: Actor, context: JobContext, weather: WeatherServer
) -> None:
    ids = [create_task(alice, city=city) for city in ("London", "london", "LONDON") for _ in range(10)]
    weather.delay = 0.1

    in_parallel(lambda _: enrich(context), 8)

    assert {read_task(alice, task_id)["weather_status"] for task_id in ids} == {"ready"}
    assert searches(weather) == 1
    assert execute("SELECT count(*) FROM events WHERE type = 'task.enriched'").fetchone() == (30,)


def test_the_weather_of_a_place_is_cached_for_an_hour_and_its_name_is_searched_once(
    alice: Actor, context: JobContext, weather: WeatherServer, redis: Redis
) -> None:
    for _ in range(2):
        create_task(alice, city="Paris")
        enrich(context)
    (key,) = redis.keys("allweather:weather:*")
    remaining = redis.ttl(key)
    redis.delete(key)
    create_task(alice, city="Paris")
    enrich(context)

    assert 3500 < remaining <= 3600
    assert (searches(weather), fetches(weather)) == (1, 2)


def test_the_forecasts_of_many_cities_come_with_one_call(
    alice: Actor, context: JobContext, weather: WeatherServer
) -> None:
    cities = ["London", "Paris", "Berlin", "Oslo", "Madrid"]
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    ids = [create_task(alice, city=city, due_at=tomorrow) for city in cities for _ in range(3)]

    enrich(context)

    found = [read_task(alice, task_id) for task_id in ids]
    assert [task["place"]["name"] for task in found[::3]] == cities
    assert {(task["weather_status"], task["forecast"]["horizon"]) for task in found} == {("ready", "within")}
    assert (searches(weather), fetches(weather), weather.points) == (5, 1, 5)


def test_a_task_that_names_a_place_is_not_searched(alice: Actor, context: JobContext, weather: WeatherServer) -> None:
    create_task(alice, city="Oslo")
    enrich(context)
    (place_id,) = execute("SELECT place_id FROM tasks").fetchone()
    task_id = create_task(alice, city="My garden")
    execute("UPDATE tasks SET place_id = %s WHERE id = %s", (place_id, task_id))

    enrich(context)

    assert read_task(alice, task_id)["weather"]["location"] == "Oslo, Norway"
    assert (searches(weather), fetches(weather)) == (1, 1)


class TestRefusedCalls:
    """No call is granted: because the budget of the day is used up, or because the provider is left alone."""

    def test_tasks_wait_for_the_next_day_however_often_they_are_refused(
        self, alice: Actor, context: JobContext, weather: WeatherServer
    ) -> None:
        scarce = context.settings.model_copy(update={"weather_calls_per_day": 1})
        ids = [create_task(alice, city=city) for city in ("Oslo", "Paris")]

        for _ in range(ATTEMPTS + 1):
            make_due()
            enrich(job_context(scarce, context.redis))

        assert (searches(weather), fetches(weather)) == (1, 0)
        assert {read_task(alice, task_id)["weather_status"] for task_id in ids} == {"pending"}
        ((attempts, earliest, latest),) = execute("""
            SELECT max(weather_attempts), min(weather_next_attempt_at) - (current_date + 1)::timestamptz,
                   max(weather_next_attempt_at) - (current_date + 1)::timestamptz FROM tasks""").fetchall()
        assert attempts == 0
        assert timedelta(0) <= earliest <= latest <= timedelta(minutes=5)

    def test_tasks_wait_until_the_provider_may_be_tried_again(
        self, alice: Actor, context: JobContext, weather: WeatherServer
    ) -> None:
        task_id = create_task(alice, city="Oslo")
        calls = WeatherCalls(context.settings, context.weather)
        calls.granted(1)
        calls.failed(ProviderUnavailable("Too many.", retry_after=100))

        for _ in range(ATTEMPTS + 1):
            make_due()
            enrich(context)
        ((attempts, wait),) = execute("""
            SELECT weather_attempts, weather_next_attempt_at - open_until FROM tasks, weather_calls""").fetchall()
        execute("UPDATE weather_calls SET open_until = now()")
        make_due()
        enrich(context)

        assert (attempts, timedelta(0) <= wait <= timedelta(seconds=11)) == (0, True)
        assert read_task(alice, task_id)["weather_status"] == "ready"

    def test_the_tasks_beside_the_one_that_tries_are_not_tried(
        self, alice: Actor, context: JobContext, weather: WeatherServer
    ) -> None:
        for city in ("Oslo", "Paris", "Berlin"):
            create_task(alice, city=city)
        calls = WeatherCalls(context.settings, context.weather)
        calls.granted(1)
        calls.failed(ProviderUnavailable("Too many.", retry_after=0))
        weather.down = True

        enrich(context)

        assert searches(weather) == 1
        attempts = execute("SELECT weather_attempts FROM tasks ORDER BY 1").fetchall()
        assert attempts == [(0,), (0,), (1,)]


def test_an_unknown_city_is_unavailable_immediately_and_cached(
    alice: Actor, context: JobContext, weather: WeatherServer
) -> None:
    ids = []
    for _ in range(2):
        ids.append(create_task(alice, city="Atlantis"))
        enrich(context)

    assert [read_task(alice, task_id)["weather_status"] for task_id in ids] == ["unavailable", "unavailable"]
    assert recorded_types(ids[0]) == ["task.created", "task.updated"]
    assert searches(weather) == 1


def test_the_weather_is_fetched_after_an_outage(alice: Actor, context: JobContext, weather: WeatherServer) -> None:
    task_id = create_task(alice, city="Oslo")
    weather.down = True
    enrich(context)
    waiting = read_task(alice, task_id)["weather_status"]
    weather.down = False
    make_due()

    enrich(context)

    assert (waiting, read_task(alice, task_id)["weather_status"]) == ("pending", "ready")


def test_a_task_is_not_retried_before_its_next_attempt_is_due(
    alice: Actor, context: JobContext, weather: WeatherServer
) -> None:
    create_task(alice, city="Oslo")
    weather.down = True

    for _ in range(5):
        enrich(context)

    assert searches(weather) == 1


def test_the_waits_grow_and_after_the_last_attempt_the_weather_is_unavailable(
    alice: Actor, context: JobContext, weather: WeatherServer
) -> None:
    task_id = create_task(alice, city="Oslo")
    weather.down = True
    waits = []
    for _ in range(ATTEMPTS):
        enrich(context)
        (wait,) = execute(
            "SELECT extract(epoch FROM weather_next_attempt_at - now())::float FROM tasks WHERE id = %s", (task_id,)
        ).fetchone()
        waits.append(wait)
        make_due()

    assert 25 < waits[0] <= 60 < waits[1] <= 120
    assert waits[2] is None
    assert read_task(alice, task_id)["weather_status"] == "unavailable"
    assert searches(weather) == ATTEMPTS


class KillingProvider:
    """A provider whose search ends the process."""

    name = "killing"
    points_per_call = 1

    def __init__(self) -> None:
        self.starts: list[str] = []

    def search(self, name: str, _limit: int) -> Any:
        self.starts.append(name)
        raise SystemExit(name)


def test_an_attempt_is_counted_even_if_it_kills_its_process(
    alice: Actor, weather_settings: Settings, redis: Redis
) -> None:
    task_id = create_task(alice, city="Berlin")
    with pytest.raises(SystemExit):
        enrich(job_context(weather_settings, redis, weather=KillingProvider()))

    assert execute("SELECT weather_attempts FROM tasks WHERE id = %s", (task_id,)).fetchone() == (1,)
    assert not WAITING.has_overdue()


def test_a_city_is_given_up_if_every_attempt_kills_its_process(
    alice: Actor, weather_settings: Settings, redis: Redis
) -> None:
    killing = KillingProvider()
    context = job_context(weather_settings, redis, weather=killing)
    task_id = create_task(alice, city="Berlin")
    for _ in range(ATTEMPTS):
        pytest.raises(SystemExit, enrich, context)
        make_due()

    enrich(context)

    assert len(killing.starts) == ATTEMPTS
    assert read_task(alice, task_id)["weather_status"] == "unavailable"
    assert recorded_types(task_id) == ["task.created", "task.updated"]


def test_a_new_task_of_a_given_up_city_gets_all_attempts(alice: Actor, context: JobContext) -> None:
    exhausted = create_task(alice, city="London")
    with unit_of_work():
        execute("UPDATE tasks SET weather_attempts = %s WHERE id = %s", (ATTEMPTS, exhausted))
    fresh = create_task(alice, city="London")

    enrich(context)

    assert [read_task(alice, task_id)["weather_status"] for task_id in (exhausted, fresh)] == ["unavailable", "ready"]


def test_a_city_changed_during_the_request_gets_its_own_weather(
    alice: Actor, context: JobContext, weather: WeatherServer
) -> None:
    task_id = create_task(alice, city="London")

    def change_city(handler: Handler) -> None:
        weather.misbehave = None
        thread = threading.Thread(target=lambda: (tasks.update_task(alice, task_id, {"city": "Oslo"}), db.disconnect()))
        thread.start()
        thread.join()
        weather.respond(handler)

    weather.misbehave = change_city
    enrich(context)
    still_waiting = read_task(alice, task_id)
    enrich(context)

    assert (still_waiting["city"], still_waiting["weather_status"]) == ("Oslo", "pending")
    assert read_task(alice, task_id)["weather"]["temperature"] == -3.2


def test_a_task_created_during_the_request_gets_its_result(
    alice: Actor, context: JobContext, weather: WeatherServer
) -> None:
    create_task(alice, city="London")
    late: list[int] = []

    def add_another(handler: Handler) -> None:
        weather.misbehave = None

        def in_another_thread() -> None:
            late.append(create_task(alice, city="London"))
            assert enrich(context) == 0
            db.disconnect()

        thread = threading.Thread(target=in_another_thread)
        thread.start()
        thread.join()
        weather.respond(handler)

    weather.misbehave = add_another
    enrich(context)

    assert read_task(alice, late[0])["weather_status"] == "ready"
    assert searches(weather) == 1 + 1  # One request, which the test server counted twice.


def test_the_weather_is_fetched_without_redis(alice: Actor, weather_settings: Settings) -> None:
    nowhere = Redis.from_url("redis://127.0.0.1:1/0")
    task_id = create_task(alice, city="Madrid")

    enrich(job_context(weather_settings, nowhere))

    assert read_task(alice, task_id)["weather"]["condition"] == "clear sky"


def test_cities_with_lost_jobs_are_found(alice: Actor) -> None:
    create_task(alice, city="London")
    fresh = WAITING.has_overdue()
    make_due()

    assert (fresh, WAITING.has_overdue()) == (False, True)


class TestTurns:
    """The jobs of all users are in one queue, and users take turns."""

    @pytest.fixture
    def queue(self) -> list[JobRequest]:
        return []

    @pytest.fixture
    def context(self, weather_settings: Settings, redis: Redis, queue: list[JobRequest]) -> JobContext:
        return job_context(weather_settings, redis, queue.append, queue_length=lambda _queue: len(queue))

    def test_users_take_turns_whoever_came_first_and_the_queue_stays_short(
        self, alice: Actor, bob: Actor, context: JobContext, queue: list[JobRequest], weather: WeatherServer
    ) -> None:
        for number in range(60):
            create_task(alice, city=f"Nowhere {number}")
        for city in ("Paris", "Oslo"):
            create_task(bob, city=city)
        publication.publish(context.redis, 1000, context.dispatch)
        sent, batches = len(queue), []
        while queue:
            queue.pop(0)
            batches.append(enrich(context))

        names = [query["name"] for query in weather.queries if "name" in query]
        assert set(names[:25]) == {f"Nowhere {number}" for number in range(23)} | {"Paris", "Oslo"}
        assert len(names) == 62
        assert (sent, [batch for batch in batches if batch]) == (1, [25, 25, 12])

    def test_a_city_that_two_users_wait_for_is_fetched_in_the_first_turn_of_either(
        self, alice: Actor, bob: Actor, context: JobContext, weather: WeatherServer
    ) -> None:
        ids = [create_task(alice, city="London"), create_task(bob, city="LONDON")]

        assert [enrich(context), enrich(context)] == [1, 0]

        assert [read_task(who, id_)["weather_status"] for who, id_ in zip((alice, bob), ids, strict=True)] == [
            "ready",
            "ready",
        ]
        assert searches(weather) == 1

    def test_a_job_whose_successors_cannot_be_sent_has_done_its_work(
        self, alice: Actor, weather_settings: Settings, redis: Redis
    ) -> None:
        def refuse(_job: JobRequest) -> None:
            raise RedisConnectionError

        ids = [create_task(alice, city=f"Nowhere {number}") for number in range(26)]

        with pytest.raises(RedisConnectionError):
            enrich(job_context(weather_settings, redis, refuse))

        assert [read_task(alice, task_id)["weather_status"] for task_id in ids[-2:]] == ["unavailable", "pending"]


def test_more_tasks_than_one_batch_are_all_updated(
    alice: Actor, context: JobContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.retries._BATCH", 4)
    ids = [create_task(alice, city="London") for _ in range(10)]

    enrich(context)

    assert {read_task(alice, task_id)["weather_status"] for task_id in ids} == {"ready"}


def test_a_task_stays_pending_if_its_event_cannot_be_recorded(
    alice: Actor, context: JobContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id = create_task(alice, city="London")

    def fail(*_: object, **__: object) -> str:
        raise LookupError

    monkeypatch.setattr("core.events.record_tasks", fail)
    with pytest.raises(LookupError):
        enrich(context)

    assert read_task(alice, task_id)["weather_status"] == "pending"
