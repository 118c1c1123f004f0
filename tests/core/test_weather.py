"""Weather for tasks: one request per city, an hour in the cache, retries after outages, and no lost task."""

import threading
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
from core.services.weather import WAITING, WeatherService, enrich
from core.weather import provider_for
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
def service(weather_settings: Settings, redis: Redis) -> WeatherService:
    return WeatherService(weather_settings, provider_for(weather_settings), redis)


def searches(weather: WeatherServer) -> int:
    return sum(count for (path, _), count in weather.requests.items() if path == "/v1/search")


def make_due() -> None:
    with unit_of_work():
        execute("UPDATE tasks SET weather_next_attempt_at = now() - interval '10 s' WHERE weather_status = 'pending'")


def test_the_weather_is_stored_and_recorded_as_an_event(alice: Actor, service: WeatherService) -> None:
    task_id = create_task(alice, city="London")

    service.enrich("london")

    task = read_task(alice, task_id)
    assert (task["weather_status"], task["weather"]["temperature"], task["version"]) == ("ready", 11.4, 2)
    recorded = execute("SELECT data FROM events WHERE type = 'task.enriched'").fetchone()
    assert recorded == (task,)


def test_parallel_jobs_send_one_request_for_all_tasks_of_a_city(
    alice: Actor, service: WeatherService, weather: WeatherServer
) -> None:
    ids = [create_task(alice, city=city) for city in ("London", "london", "LONDON") for _ in range(10)]
    weather.delay = 0.1

    in_parallel(lambda _: service.enrich("london"), 16)

    assert {read_task(alice, task_id)["weather_status"] for task_id in ids} == {"ready"}
    assert searches(weather) == 1
    assert execute("SELECT count(*) FROM events WHERE type = 'task.enriched'").fetchone() == (30,)


def test_the_weather_of_a_city_is_cached_for_an_hour(
    alice: Actor, service: WeatherService, weather: WeatherServer, redis: Redis
) -> None:
    for _ in range(2):
        create_task(alice, city="Paris")
        service.enrich("paris")
    (key,) = redis.keys("allweather:weather:*")
    remaining = redis.ttl(key)
    redis.delete(key)
    create_task(alice, city="Paris")
    service.enrich("paris")

    assert 3500 < remaining <= 3600
    assert searches(weather) == 2


def test_an_unknown_city_is_unavailable_immediately_and_cached(
    alice: Actor, service: WeatherService, weather: WeatherServer
) -> None:
    ids = []
    for _ in range(2):
        ids.append(create_task(alice, city="Atlantis"))
        service.enrich("atlantis")

    assert [read_task(alice, task_id)["weather_status"] for task_id in ids] == ["unavailable", "unavailable"]
    assert recorded_types(ids[0]) == ["task.created", "task.updated"]
    assert searches(weather) == 1


def test_the_weather_is_fetched_after_an_outage(alice: Actor, service: WeatherService, weather: WeatherServer) -> None:
    task_id = create_task(alice, city="Oslo")
    weather.down = True
    service.enrich("oslo")
    waiting = read_task(alice, task_id)["weather_status"]
    weather.down = False
    make_due()

    service.enrich("oslo")

    assert (waiting, read_task(alice, task_id)["weather_status"]) == ("pending", "ready")


def test_a_task_is_not_retried_before_its_next_attempt_is_due(
    alice: Actor, service: WeatherService, weather: WeatherServer
) -> None:
    create_task(alice, city="Oslo")
    weather.down = True

    for _ in range(5):
        service.enrich("oslo")

    assert searches(weather) == 1


def test_the_waits_grow_and_after_the_last_attempt_the_weather_is_unavailable(
    alice: Actor, service: WeatherService, weather: WeatherServer
) -> None:
    task_id = create_task(alice, city="Oslo")
    weather.down = True
    waits = []
    for _ in range(ATTEMPTS):
        service.enrich("oslo")
        (wait,) = execute(
            "SELECT extract(epoch FROM weather_next_attempt_at - now())::float FROM tasks WHERE id = %s", (task_id,)
        ).fetchone()
        waits.append(wait)
        make_due()

    assert 25 < waits[0] <= 60 < waits[1] <= 120
    assert waits[2] is None
    assert read_task(alice, task_id)["weather_status"] == "unavailable"
    assert searches(weather) == ATTEMPTS


def test_an_attempt_is_counted_even_if_it_kills_its_process(
    alice: Actor, weather_settings: Settings, redis: Redis
) -> None:
    class KillingProvider:
        name = "killing"

        def current(self, city: str) -> Any:
            raise SystemExit(city)

    task_id = create_task(alice, city="Berlin")
    with pytest.raises(SystemExit):
        WeatherService(weather_settings, KillingProvider(), redis).enrich("berlin")

    assert execute("SELECT weather_attempts FROM tasks WHERE id = %s", (task_id,)).fetchone() == (1,)
    assert not WAITING.has_overdue()


def test_a_city_is_given_up_if_every_attempt_kills_its_process(
    alice: Actor, weather_settings: Settings, redis: Redis
) -> None:
    starts: list[str] = []

    class KillingProvider:
        name = "killing"

        def current(self, city: str) -> Any:
            starts.append(city)
            raise SystemExit(city)

    task_id = create_task(alice, city="Berlin")
    service = WeatherService(weather_settings, KillingProvider(), redis)
    for _ in range(ATTEMPTS):
        pytest.raises(SystemExit, service.enrich, "berlin")
        make_due()

    service.enrich("berlin")

    assert len(starts) == ATTEMPTS
    assert read_task(alice, task_id)["weather_status"] == "unavailable"
    assert recorded_types(task_id) == ["task.created", "task.updated"]


def test_a_new_task_of_a_given_up_city_gets_all_attempts(alice: Actor, service: WeatherService) -> None:
    exhausted = create_task(alice, city="London")
    with unit_of_work():
        execute("UPDATE tasks SET weather_attempts = %s WHERE id = %s", (ATTEMPTS, exhausted))
    fresh = create_task(alice, city="London")

    service.enrich("london")

    assert [read_task(alice, task_id)["weather_status"] for task_id in (exhausted, fresh)] == ["unavailable", "ready"]


def test_a_city_changed_during_the_request_gets_its_own_weather(
    alice: Actor, service: WeatherService, weather: WeatherServer
) -> None:
    task_id = create_task(alice, city="London")

    def change_city(handler: Handler) -> None:
        weather.misbehave = None
        thread = threading.Thread(target=lambda: (tasks.update_task(alice, task_id, {"city": "Oslo"}), db.disconnect()))
        thread.start()
        thread.join()
        weather.respond(handler)

    weather.misbehave = change_city
    service.enrich("london")
    still_waiting = read_task(alice, task_id)
    service.enrich("oslo")

    assert (still_waiting["city"], still_waiting["weather_status"]) == ("Oslo", "pending")
    assert read_task(alice, task_id)["weather"]["temperature"] == -3.2


def test_a_task_created_during_the_request_gets_its_result(
    alice: Actor, service: WeatherService, weather: WeatherServer
) -> None:
    create_task(alice, city="London")
    late: list[int] = []

    def add_another(handler: Handler) -> None:
        weather.misbehave = None

        def in_another_thread() -> None:
            late.append(create_task(alice, city="London"))
            service.enrich("london")
            db.disconnect()

        thread = threading.Thread(target=in_another_thread)
        thread.start()
        thread.join()
        weather.respond(handler)

    weather.misbehave = add_another
    service.enrich("london")

    assert read_task(alice, late[0])["weather_status"] == "ready"
    assert searches(weather) == 1 + 1  # One request, which the test server counted twice.


def test_the_weather_is_fetched_without_redis(alice: Actor, weather_settings: Settings) -> None:
    nowhere = Redis.from_url("redis://127.0.0.1:1/0")
    task_id = create_task(alice, city="Madrid")

    WeatherService(weather_settings, provider_for(weather_settings), nowhere).enrich("madrid")

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
        for number in range(30):
            create_task(alice, city=f"Nowhere {number}")
        for city in ("Paris", "Oslo"):
            create_task(bob, city=city)
        publication.publish(context.redis, 1000, context.dispatch)
        lengths = [len(queue)]
        while queue:
            queue.pop(0)
            enrich(context)
            lengths.append(len(queue))

        names = [query["name"] for query in weather.queries if "name" in query]
        assert names[:5] == ["Nowhere 0", "Paris", "Nowhere 1", "Oslo", "Nowhere 2"]
        assert len(names) == 32
        assert (lengths[0], max(lengths), lengths[-1]) == (1, 20, 0)

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

        first, _ = create_task(alice, city="London"), create_task(alice, city="Oslo")

        with pytest.raises(RedisConnectionError):
            enrich(job_context(weather_settings, redis, refuse))

        assert read_task(alice, first)["weather_status"] == "ready"


def test_more_tasks_than_one_batch_are_all_updated(
    alice: Actor, service: WeatherService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.retries._BATCH", 4)
    ids = [create_task(alice, city="London") for _ in range(10)]

    service.enrich("london")

    assert {read_task(alice, task_id)["weather_status"] for task_id in ids} == {"ready"}


def test_a_task_stays_pending_if_its_event_cannot_be_recorded(
    alice: Actor, service: WeatherService, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id = create_task(alice, city="London")

    def fail(*_: object, **__: object) -> str:
        raise LookupError

    monkeypatch.setattr("core.events.record_task", fail)
    with pytest.raises(LookupError):
        service.enrich("london")

    assert read_task(alice, task_id)["weather_status"] == "pending"
