"""The signal reaches a publisher that is there, starts one if there is none, and is never lost in between."""

import threading
from collections.abc import Callable

import pytest
from redis import Redis

from core import db, publisher_signal
from core.config import Settings
from core.events import STREAM_KEY
from core.jobs import JobContext
from core.policy import Actor
from core.publisher_signal import Attendance, attending, is_attended, request_publication
from core.services.publication import publish_events
from tests.builders import create_task
from tests.job_context import job_context
from tests.polling import wait_until

LONG_SECONDS = 30.0


@pytest.fixture(autouse=True)
def _long_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a publisher count as present, and stay, for longer than any of these tests lasts on a busy machine."""
    monkeypatch.setattr(publisher_signal, "_PRESENCE_MILLISECONDS", int(LONG_SECONDS * 1000))
    monkeypatch.setattr(publisher_signal, "_LONGEST_STAY_SECONDS", LONG_SECONDS)


@pytest.fixture
def sent() -> list[str]:
    return []


@pytest.fixture
def signal(redis: Redis, sent: list[str]) -> Callable[[], None]:
    """Signal that events wait; `sent` gets the jobs that this sends."""
    return lambda: request_publication(redis, lambda: sent.append("job"))


@pytest.fixture
def context(settings: Settings, redis: Redis) -> JobContext:
    return job_context(settings, redis)


def test_only_the_first_signal_sends_a_job(database: None, signal: Callable[[], None], sent: list[str]) -> None:
    for _ in range(3):
        signal()

    assert sent == ["job"]


def test_a_lost_job_is_replaced_after_a_while(
    database: None, redis: Redis, signal: Callable[[], None], sent: list[str]
) -> None:
    signal()
    (key,) = redis.keys("allweather:publisher")

    assert 0 < redis.pttl(key) <= LONG_SECONDS * 1000
    redis.delete(key)  # as its expiry does
    signal()
    assert sent == ["job", "job"]


def test_a_signal_reaches_the_publisher_and_sends_no_job(
    database: None, redis: Redis, signal: Callable[[], None], sent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_signal, "_IDLE_SECONDS", LONG_SECONDS)
    redis.set("allweather:publisher", b"")  # as the signal does that has sent this publisher's job
    with attending(redis) as attendance:
        for _ in range(3):
            signal()
        assert attendance.next_signal()
        monkeypatch.setattr(publisher_signal, "_IDLE_SECONDS", 0.0)
        assert not attendance.next_signal(), "one round answers all signals that came before it"

    assert sent == []
    signal()
    assert sent == ["job"]


def test_a_publisher_does_not_stay_for_ever(
    database: None, redis: Redis, signal: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_signal, "_LONGEST_STAY_SECONDS", 0.0)
    with attending(redis) as attendance:
        signal()
        assert not attendance.next_signal()


def test_an_event_that_is_committed_while_the_publisher_stays_is_published_without_a_job(
    alice: Actor,
    context: JobContext,
    redis: Redis,
    signal: Callable[[], None],
    sent: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(publisher_signal, "_IDLE_SECONDS", LONG_SECONDS)
    create_task(alice)
    published: list[int] = []

    def run_job() -> None:
        published.append(publish_events(context) or 0)
        db.disconnect()

    signal()
    publisher = threading.Thread(target=run_job)
    publisher.start()
    wait_until(lambda: redis.xlen(STREAM_KEY) == 1)
    for number in (2, 3):
        create_task(alice)
        signal()
        wait_until(lambda number=number: redis.xlen(STREAM_KEY) == number)
    monkeypatch.setattr(publisher_signal, "_IDLE_SECONDS", 0.0)
    signal()
    publisher.join(LONG_SECONDS)

    assert published == [3]
    assert sent == ["job"]


def test_an_event_whose_signal_comes_while_the_publisher_leaves_is_published(
    alice: Actor, context: JobContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave(_attendance: Attendance) -> bool:
        create_task(alice)
        return False

    monkeypatch.setattr(Attendance, "next_signal", leave)

    assert publish_events(context) == 1


def unexpected(_attendance: Attendance) -> bool:
    raise AssertionError("The publisher stays.")


def test_a_publisher_does_not_stay_while_jobs_wait(
    alice: Actor, settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Attendance, "next_signal", unexpected)
    create_task(alice)

    assert publish_events(job_context(settings, redis, queue_length=lambda _queue: 1)) == 1


def test_a_second_publisher_publishes_and_does_not_stay(
    alice: Actor, context: JobContext, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Attendance, "next_signal", unexpected)
    create_task(alice)
    with attending(redis):
        assert publish_events(context) == 1
        assert is_attended(redis)
    assert not is_attended(redis)
