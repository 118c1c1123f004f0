"""The signal that events wait for their publication, and the publisher that waits for it.

A publisher stays for a moment after its work, so while there are changes the next signal reaches it at once over Redis.
A job is sent only if there is no publisher. A signal costs the process that sends it 50 µs of CPU time; sending a job
costs 600 µs, and a job that starts costs the worker more.

A key in Redis says that there is a publisher, or a job that will start one. The key expires soon, so if a publisher or
its job is lost, a later signal sends another job. If a signal is lost, the sweep publishes the events.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from redis import Redis

_CHANNEL: Final = "allweather:publish"
_PRESENCE_KEY: Final = "allweather:publisher"
_PRESENCE_MILLISECONDS: Final = 1000
# A publisher leaves if there was no signal for the first time, and in any case after the second one, which is much less
# than the time limit of a job.
_IDLE_SECONDS: Final = 0.25
_LONGEST_STAY_SECONDS: Final = 5.0
_CONFIRMATION_SECONDS: Final = 5.0


def request_publication(redis: Redis, send_job: Callable[[], object]) -> None:
    """Signal that events were committed; if there is no publisher, call `send_job`, which must start one.

    Raises:
        RedisError: if Redis cannot be reached.
    """
    pipeline = redis.pipeline(transaction=False)
    pipeline.publish(_CHANNEL, b"")
    pipeline.set(_PRESENCE_KEY, b"", px=_PRESENCE_MILLISECONDS, nx=True)
    _, is_first = pipeline.execute()
    if is_first:
        send_job()


def is_attended(redis: Redis) -> bool:
    """Return whether a publisher waits for signals. One that has just been lost may still count for a while.

    Raises:
        RedisError: if Redis cannot be reached.
    """
    ((_, publishers),) = redis.pubsub_numsub(_CHANNEL)
    return bool(publishers)


class Attendance:
    """The stay of one publisher; `attending()` begins and ends it."""

    def __init__(self, redis: Redis, signals: Any) -> None:
        self._redis = redis
        self._signals = signals
        self._leaves_at = time.monotonic() + _LONGEST_STAY_SECONDS

    def next_signal(self) -> bool:
        """Wait for a signal; returns False if none came in time, or if the publisher has stayed for long enough."""
        self._redis.set(_PRESENCE_KEY, b"", px=_PRESENCE_MILLISECONDS)
        if time.monotonic() > self._leaves_at or self._signals.get_message(timeout=_IDLE_SECONDS) is None:
            return False
        # One round publishes everything that was committed before it, so it answers all signals that have come by now.
        while self._signals.get_message(timeout=0) is not None:
            pass
        return True


@contextmanager
def attending(redis: Redis) -> Iterator[Attendance]:
    """Be the publisher that gets the signals in this block.

    No signal gets lost at the end if the events are published once more after the block: from then on the next signal
    sends a job.

    Raises:
        RedisError: if Redis cannot be reached.
    """
    with redis.pubsub() as signals:  # type: ignore[no-untyped-call]  # redis-py leaves it untyped.
        signals.subscribe(_CHANNEL)
        # Redis confirms the subscription before any signal.
        signals.get_message(timeout=_CONFIRMATION_SECONDS)
        try:
            yield Attendance(redis, signals)
        finally:
            redis.delete(_PRESENCE_KEY)
