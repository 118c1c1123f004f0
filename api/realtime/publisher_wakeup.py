"""Signals to the publisher that events wait to be published.

The signal is sent outside of requests: at once after the first change, and then at most once every few milliseconds. If
a signal is lost or the broker is down, nothing else is lost: the worker's periodic sweep publishes the events some
seconds later.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

import structlog
from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from core import events, redis_clients
from core.config import Settings
from core.jobs import EVENTS_PUBLISH
from core.publisher_signal import request_publication

log = structlog.get_logger()

_REDIS_SECONDS: Final = 2.0
# One signal publishes everything that was committed before it, so more of them would only cost time.
_LEAST_SECONDS_BETWEEN_SIGNALS: Final = 0.005
# While the broker is down, the sweep publishes the events. More frequent attempts would only add time-outs.
_PAUSE_AFTER_FAILURE_SECONDS: Final = 2.0


def signal_sender(settings: Settings) -> Callable[[], None]:
    """Return a function that signals to the publisher, or starts one by the job `events.publish`, sent by its name.

    The function must be called from one thread at a time. It raises `RedisError`, or the errors of the broker.
    """
    app = Celery("allweather", set_as_current=False)
    app.config_from_object("celeryconfig")
    redis = redis_clients.connect(
        settings.redis_url.get_secret_value(), socket_timeout=_REDIS_SECONDS, socket_connect_timeout=_REDIS_SECONDS
    )
    send_job = partial(app.send_task, EVENTS_PUBLISH.name, retry=False, ignore_result=True)
    return partial(request_publication, redis, send_job)


class PublisherWakeup:
    """Signals to the publisher after threads have committed events."""

    def __init__(self, send: Callable[[], object]) -> None:
        self._send = send
        self._pending = asyncio.Event()
        self._sender = ThreadPoolExecutor(1, thread_name_prefix="wake-up")
        self._task: asyncio.Task[None] | None = None
        self._unsubscribe: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Start signalling after commits of events. This must be called in the event loop."""
        loop = asyncio.get_running_loop()
        self._unsubscribe = events.on_recorded(partial(loop.call_soon_threadsafe, self._pending.set))
        self._task = loop.create_task(self._run(), name="wake-up")

    async def stop(self) -> None:
        """Stop. If a signal has not been sent yet, the worker's sweep publishes its events."""
        self._unsubscribe()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._sender.shutdown(wait=False, cancel_futures=True)

    async def _run(self) -> None:
        reachable = True
        while True:
            await self._pending.wait()
            self._pending.clear()
            try:
                await asyncio.get_running_loop().run_in_executor(self._sender, self._send)
            # Every error is caught, since libraries also raise others when a connection ends. If this task ended, the
            # process would look healthy, but all its events would wait for the sweep.
            except Exception as error:
                if reachable:
                    is_expected = isinstance(error, (OperationalError, RedisError, OSError))
                    log.warning("broker_unreachable", reason=type(error).__name__, exc_info=not is_expected)
                reachable = False
                await asyncio.sleep(_PAUSE_AFTER_FAILURE_SECONDS)
            else:
                if not reachable:
                    log.info("broker_reachable")
                reachable = True
                await asyncio.sleep(_LEAST_SECONDS_BETWEEN_SIGNALS)
