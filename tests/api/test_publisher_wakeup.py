"""The wake-up of the publisher: sent after a commit, once for many changes, without delaying requests."""

import asyncio
import threading
from collections.abc import Callable

import pytest
from kombu.exceptions import OperationalError
from redis import Redis
from structlog.testing import capture_logs

from api.realtime.publisher_wakeup import PublisherWakeup, signal_sender
from core import db, jobs
from core.config import Settings
from core.policy import Actor
from tests.builders import create_task
from tests.worker.broker import job_names


def run_with(send: Callable[[], object], scenario: Callable[[], object], until: Callable[[], bool]) -> None:
    """Run the wake-up in an event loop and `scenario` in a thread, until the condition `until` is true."""

    def in_thread() -> None:
        scenario()
        db.disconnect()

    async def main() -> None:
        wake_up = PublisherWakeup(send)
        wake_up.start()
        await asyncio.to_thread(in_thread)
        async with asyncio.timeout(10):
            while not until():  # noqa: ASYNC110 - the condition is not an event of this loop.
                await asyncio.sleep(0.01)
        await wake_up.stop()

    asyncio.run(main())


def test_many_changes_send_few_messages(alice: Actor) -> None:
    sent: list[int] = []

    def change() -> None:
        for _ in range(100):
            create_task(alice)

    run_with(lambda: sent.append(1), change, lambda: bool(sent))

    assert 0 < len(sent) < 100


def test_the_first_signal_sends_the_publishing_job(alice: Actor, redis: Redis, settings: Settings) -> None:
    run_with(
        signal_sender(settings),
        lambda: create_task(alice),
        lambda: jobs.EVENTS_PUBLISH.name in job_names(redis, jobs.QUEUE_EVENTS),
    )


@pytest.mark.parametrize("error", [OperationalError, AttributeError])
def test_an_unreachable_broker_and_its_return_are_each_logged_once(
    error: type[Exception], alice: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.realtime.publisher_wakeup._PAUSE_AFTER_FAILURE_SECONDS", 0.0)
    attempts: list[int] = []
    tried = threading.Semaphore(0)

    def send() -> None:
        attempts.append(1)
        tried.release()
        if len(attempts) < 3:
            raise error

    def change_until_sent() -> None:
        for _ in range(3):
            create_task(alice)
            assert tried.acquire(timeout=10)

    with capture_logs() as lines:
        run_with(send, change_until_sent, lambda: any(line["event"] == "broker_reachable" for line in lines))

    logged = [line["event"] for line in lines if line["event"].startswith("broker")]
    assert logged == ["broker_unreachable", "broker_reachable"]
