"""Publishing the event log: numbering in order, appending once and sending jobs, also after failures in between."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError

from core import db, events
from core.config import Settings
from core.db import exclusive, unit_of_work
from core.events import STREAM_KEY, bounds
from core.jobs import WEATHER_ENRICH, JobRequest
from core.log_context import bound_to_log
from core.policy import Actor
from core.services import publication
from core.services.publication import event_from_entry
from tests.builders import create_task, read_task
from tests.job_context import job_context
from tests.sql import execute
from tests.statements import statements_sent

STREAM_LENGTH = 10_000


@pytest.fixture
def dispatched() -> list[JobRequest]:
    return []


@pytest.fixture
def publish(redis: Redis, dispatched: list[JobRequest]) -> Callable[[], int]:
    return lambda: publication.publish(redis, STREAM_LENGTH, dispatched.append)


def stream(redis: Redis) -> list[events.Event]:
    entries: Any = redis.xrange(STREAM_KEY)
    return [event_from_entry(entry_id, fields) for entry_id, fields in entries]


def record_in_one_transaction(count: int) -> None:
    """Record events of the same moment, whose data are the numbers from 1 to `count`."""
    execute(
        """INSERT INTO events (type, audience, data, at)
           SELECT 'task.reminder', '{}', to_json(number), now() FROM generate_series(1, %s) number""",
        (count,),
    )


def test_events_are_numbered_without_gaps_and_appended_to_the_stream(
    alice: Actor, redis: Redis, publish: Callable[[], int]
) -> None:
    before = bounds().last
    created = [create_task(alice) for _ in range(3)]

    assert publish() == 3

    published = stream(redis)
    assert [event.seq for event in published] == [before + 1, before + 2, before + 3]
    assert [event.task_id for event in published] == created
    assert published == events.read_since(before, 10)


def test_events_of_several_batches_keep_their_order(
    alice: Actor, redis: Redis, publish: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publication, "_BATCH", 2)
    created = [create_task(alice) for _ in range(5)]

    assert publish() == 5

    assert [event.task_id for event in stream(redis)] == created


def test_more_events_of_one_transaction_than_a_batch_are_numbered_in_the_order_of_insertion(
    database: None, publish: Callable[[], int]
) -> None:
    before = bounds().last
    record_in_one_transaction(501)
    # PostgreSQL now stores the first row after all others.
    execute("UPDATE events SET request_id = 'the-request' WHERE data::text = '1'")

    assert publish() == 501

    published = events.read_since(before, 1000)
    assert [event.seq for event in published] == list(range(before + 1, before + 502))
    assert [int(event.data) for event in published] == list(range(1, 502))


def test_the_stream_has_the_id_of_the_request(alice: Actor, redis: Redis, publish: Callable[[], int]) -> None:
    with bound_to_log(request_id="the-request"):
        create_task(alice)
    publish()

    assert [event.request_id for event in stream(redis)] == ["the-request"]


def test_an_event_with_a_lower_id_that_commits_later_is_not_skipped(
    alice: Actor, redis: Redis, publish: Callable[[], int]
) -> None:
    inserted, may_commit = threading.Event(), threading.Event()

    def commit_late() -> None:
        with unit_of_work():
            events.record(events.SESSIONS_REVOKED, audience=[], data={})
            inserted.set()
            may_commit.wait(10)
        db.disconnect()

    slow = threading.Thread(target=commit_late)
    slow.start()
    assert inserted.wait(10)
    create_task(alice)
    publish()
    may_commit.set()
    slow.join()
    publish()

    assert [event.type for event in stream(redis)] == ["task.created", "sessions.revoked"]


def test_parallel_writers_and_publishers_leave_no_gap_and_no_duplicate(
    alice: Actor, redis: Redis, publish: Callable[[], int]
) -> None:
    before = bounds().last

    def write_and_publish(number: int) -> int:
        task_id = create_task(alice, title=f"task {number}")
        publish()
        return task_id

    with ThreadPoolExecutor(8, initializer=db.disconnect) as pool:
        created = list(pool.map(write_and_publish, range(80)))
        list(pool.map(lambda _: db.disconnect(), range(8)))
    publish()

    published = stream(redis)
    assert [event.seq for event in published] == list(range(before + 1, before + 81))
    assert sorted(event.task_id or 0 for event in published) == sorted(created)


def test_a_second_publisher_returns_and_the_first_publishes_its_events(
    alice: Actor, redis: Redis, dispatched: list[JobRequest]
) -> None:
    """The first publisher looks for new events again after it has released the lock."""
    create_task(alice, city="London")
    late: list[int] = []

    def publish_from_another_thread(job: JobRequest) -> None:
        dispatched.append(job)
        if not late:
            late.append(0)
            thread = threading.Thread(target=in_another_thread)
            thread.start()
            thread.join()

    def in_another_thread() -> None:
        create_task(alice, title="late")
        late.append(publication.publish(redis, STREAM_LENGTH, dispatched.append))
        db.disconnect()

    published = publication.publish(redis, STREAM_LENGTH, publish_from_another_thread)

    assert late == [0, 0]
    assert published == 2


@pytest.mark.parametrize("broken", ["xadd", "dispatch"])
def test_a_failure_between_the_steps_only_causes_a_repetition(
    broken: str, alice: Actor, redis: Redis, dispatched: list[JobRequest], publish: Callable[[], int]
) -> None:
    create_task(alice, city="London")

    class Broken:
        """A Redis client that fails when it writes to the stream."""

        def __getattr__(self, name: str) -> Any:
            if name == "pipeline":
                raise RedisConnectionError
            return getattr(redis, name)

    def refuse(_job: JobRequest) -> None:
        raise RedisConnectionError

    server: Any = Broken() if broken == "xadd" else redis
    dispatch = dispatched.append if broken == "xadd" else refuse
    with pytest.raises(RedisConnectionError):
        publication.publish(server, STREAM_LENGTH, dispatch)
    publish()
    publish()

    assert len(stream(redis)) == 1
    assert [(job.name, job.arguments) for job in dispatched] == [(WEATHER_ENRICH.name, ())]


def test_an_emptied_redis_is_filled_again(alice: Actor, redis: Redis, publish: Callable[[], int]) -> None:
    create_task(alice)
    publish()
    redis.flushall()
    create_task(alice)

    publish()

    assert [event.type for event in stream(redis)] == ["task.created", "task.created"]


def test_refilling_the_stream_sends_no_job_again(
    alice: Actor, redis: Redis, dispatched: list[JobRequest], publish: Callable[[], int]
) -> None:
    create_task(alice, city="London")
    publish()
    redis.flushall()

    publish()

    assert len(stream(redis)) == len(dispatched) == 1


def test_a_refill_that_fails_after_its_first_batch_causes_no_job_again(
    alice: Actor,
    redis: Redis,
    dispatched: list[JobRequest],
    publish: Callable[[], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for city in ("London", "Paris"):
        create_task(alice, city=city)
    publish()
    dispatched.clear()
    redis.flushall()
    monkeypatch.setattr(publication, "_BATCH", 1)
    pipelines = iter([redis.pipeline])

    class FailsAfterTheFirstBatch:
        """A Redis client that can write to the stream once."""

        def __getattr__(self, name: str) -> Any:
            if name == "pipeline":
                return next(pipelines, None) or unreachable
            return getattr(redis, name)

    def unreachable(**_: Any) -> Any:
        raise RedisConnectionError

    server: Any = FailsAfterTheFirstBatch()
    with pytest.raises(RedisConnectionError):
        publication.publish(server, STREAM_LENGTH, dispatched.append)
    publish()

    assert len(stream(redis)) == 2
    assert dispatched == []


@pytest.mark.parametrize("ahead", [1, 3, 1000])
def test_a_stream_ahead_of_the_database_is_replaced(
    ahead: int, alice: Actor, redis: Redis, publish: Callable[[], int]
) -> None:
    restored = bounds().last
    redis.xadd(STREAM_KEY, {"type": "from before the backup"}, id=f"{restored + ahead}-0")
    created = [create_task(alice) for _ in range(3)]

    publish()

    published = stream(redis)
    assert [event.seq for event in published] == [restored + 1, restored + 2, restored + 3]
    assert [event.task_id for event in published] == created


def test_a_stream_that_is_not_ahead_is_continued(alice: Actor, redis: Redis, publish: Callable[[], int]) -> None:
    """The stream keeps events that are no longer stored in the database."""
    before = bounds().last
    create_task(alice)
    publish()
    execute("DELETE FROM events")

    publish()
    assert [event.seq for event in stream(redis)] == [before + 1]

    create_task(alice)
    publication._number_all()  # noqa: SLF001 - as a publisher that then loses Redis: now the stream is behind.
    publish()
    assert [event.seq for event in stream(redis)] == [before + 1, before + 2]


def test_events_that_another_process_has_appended_meanwhile_are_not_appended_again(
    alice: Actor, redis: Redis, dispatched: list[JobRequest], publish: Callable[[], int]
) -> None:
    create_task(alice, city="London")
    publish()
    appended = stream(redis)
    dispatched.clear()
    execute("UPDATE event_log_state SET jobs_seq = jobs_seq - 1")

    class SeesAnEmptyStream:
        """A Redis client that has read the end of the stream before the other process has appended to it."""

        def __getattr__(self, name: str) -> Any:
            return (lambda *_args, **_options: []) if name == "xrevrange" else getattr(redis, name)

    late: Any = SeesAnEmptyStream()
    publication.publish(late, STREAM_LENGTH, dispatched.append)

    assert stream(redis) == appended
    assert [job.name for job in dispatched] == [WEATHER_ENRICH.name]


def test_no_job_is_sent_for_an_event_that_redis_has_refused(
    alice: Actor, redis: Redis, dispatched: list[JobRequest], publish: Callable[[], int]
) -> None:
    create_task(alice, city="London")

    redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(OutOfMemoryError):
            publish()
    finally:
        redis.config_set("maxmemory", 0)
    assert dispatched == []

    publish()
    assert len(stream(redis)) == len(dispatched) == 1


def test_the_stream_has_its_maximum_length_after_a_refill(alice: Actor, redis: Redis) -> None:
    for _ in range(5):
        create_task(alice)

    publication.publish(redis, 2, lambda _job: None)

    assert [event.seq for event in stream(redis)] == [bounds().last - 1, bounds().last]


def test_the_stream_keeps_near_its_maximum_length(database: None, redis: Redis) -> None:
    """Redis removes old entries in groups of 100, so there may be up to 100 more."""
    for _ in range(4):
        record_in_one_transaction(100)
        publication.publish(redis, 100, lambda _job: None)

    assert 100 <= redis.xlen(STREAM_KEY) <= 200


@pytest.mark.parametrize("foreign", [[], ["1000-0"]])
def test_the_stream_has_the_first_event_of_a_new_database(
    foreign: list[str], alice: Actor, redis: Redis, publish: Callable[[], int]
) -> None:
    execute("UPDATE event_log_state SET last_seq = 0, jobs_seq = 0")
    for entry_id in foreign:
        redis.xadd(STREAM_KEY, {"type": "from another database"}, id=entry_id)
    create_task(alice)

    publish()
    assert [event.seq for event in stream(redis)] == [1]

    redis.flushall()
    publish()
    assert [event.seq for event in stream(redis)] == [1]


def test_only_the_last_entry_of_the_stream_is_read(
    settings: Settings, alice: Actor, redis: Redis, publish: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        create_task(alice)
    publish()
    lengths: list[int] = []
    xrevrange = redis.xrevrange

    def remember_the_length(*args: Any, **options: Any) -> Any:
        entries: Any = xrevrange(*args, **options)
        lengths.append(len(entries))
        return entries

    monkeypatch.setattr(redis, "xrevrange", remember_the_length)
    publish()
    publication.is_behind(job_context(settings, redis))

    assert lengths == [1, 1]


def test_the_waiting_cities_of_a_batch_get_one_job_with_the_first_request_id(
    alice: Actor, dispatched: list[JobRequest], publish: Callable[[], int]
) -> None:
    with bound_to_log(request_id="the-request"):
        for city in ("London", "LONDON ", "Paris"):
            create_task(alice, city=city)
    create_task(alice)

    publish()

    assert dispatched == [JobRequest(WEATHER_ENRICH.name, (), "the-request")]


def test_a_frame_contains_the_recorded_task(alice: Actor, redis: Redis, publish: Callable[[], int]) -> None:
    task_id = create_task(alice, title='quotes " and ünïcödé ☔')
    publish()

    (event,) = stream(redis)
    frame = orjson.loads(event.frame())

    assert list(frame) == ["seq", "type", "task_id", "actor_id", "at", "data"]
    assert frame["data"] == read_task(alice, task_id)
    assert event.audience == (alice.user_id,)


def test_nothing_is_published_while_another_process_holds_the_lock(alice: Actor, redis: Redis) -> None:
    create_task(alice)
    outcome: list[int] = []

    def in_another_thread() -> None:
        outcome.append(publication.publish(redis, STREAM_LENGTH, lambda _job: None))
        db.disconnect()

    with exclusive("allweather:publish"):
        thread = threading.Thread(target=in_another_thread)
        thread.start()
        thread.join()

    assert outcome == [0]
    assert execute("SELECT count(*) FROM events WHERE seq IS NULL").fetchone() == (1,)


def test_one_event_takes_nine_statements(alice: Actor, publish: Callable[[], int]) -> None:
    """The lock, the positions, numbers and their commit, the events, the sent jobs and their commit, the release, and
    the check for events that came meanwhile.
    """
    create_task(alice)
    publish()
    create_task(alice)
    with statements_sent() as statements:
        assert publish() == 1

    assert len(statements) == 9, statements


class TestIsBehind:
    """The condition for beat to send the job: it is true if any step of publication has something to do."""

    @pytest.fixture
    def is_behind(
        self, settings: Settings, redis: Redis, alice: Actor, publish: Callable[[], int]
    ) -> Callable[[], bool]:
        create_task(alice)
        publish()
        context = job_context(settings, redis)
        return lambda: publication.is_behind(context)

    def test_false_after_a_publication(self, is_behind: Callable[[], bool]) -> None:
        assert not is_behind()

    def test_true_if_an_event_has_no_number(self, is_behind: Callable[[], bool], alice: Actor) -> None:
        create_task(alice)

        assert is_behind()

    def test_true_if_jobs_have_not_been_sent(self, is_behind: Callable[[], bool]) -> None:
        with unit_of_work():
            execute("UPDATE event_log_state SET jobs_seq = jobs_seq - 1")

        assert is_behind()

    def test_true_if_the_stream_has_lost_events(self, is_behind: Callable[[], bool], redis: Redis) -> None:
        redis.delete(STREAM_KEY)

        assert is_behind()

    def test_true_if_the_stream_is_ahead_of_the_database(self, is_behind: Callable[[], bool], redis: Redis) -> None:
        redis.xadd(STREAM_KEY, {"type": "from before the backup"}, id=f"{bounds().last + 5}-0")

        assert is_behind()

    def test_false_if_the_stream_lacks_only_purged_events(self, is_behind: Callable[[], bool], redis: Redis) -> None:
        redis.delete(STREAM_KEY)
        with unit_of_work():
            execute("DELETE FROM events")

        assert not is_behind()
