"""Sends the worker a message when events wait to be published.

Messages are sent outside of requests, and at most once every few milliseconds. If a message is lost or the broker is
down, nothing else is lost: the worker's periodic sweep publishes the events some seconds later.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

import structlog
from celery import Celery
from kombu.exceptions import OperationalError

from core import events
from core.jobs import EVENTS_PUBLISH

log = structlog.get_logger()

_COALESCE_SECONDS: Final = 0.01
# While the broker is down, the sweep publishes the events. More frequent attempts would only add time-outs.
_PAUSE_AFTER_FAILURE_SECONDS: Final = 2.0


def celery_sender() -> Callable[[], None]:
    """Return a function that sends one `events.publish` job by name. It must be called from one thread at a time."""
    app = Celery("allweather", set_as_current=False)
    app.config_from_object("celeryconfig")
    return lambda: app.send_task(EVENTS_PUBLISH.name, retry=False, ignore_result=True)


class PublisherWakeup:
    """Sends a message to the worker after threads have committed events."""

    def __init__(self, send: Callable[[], object]) -> None:
        self._send = send
        self._pending = asyncio.Event()
        self._sender = ThreadPoolExecutor(1, thread_name_prefix="wake-up")
        self._task: asyncio.Task[None] | None = None
        self._unsubscribe: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Start sending a message after each commit of events. This must be called in the event loop."""
        loop = asyncio.get_running_loop()
        self._unsubscribe = events.on_recorded(partial(loop.call_soon_threadsafe, self._pending.set))
        self._task = loop.create_task(self._run(), name="wake-up")

    async def stop(self) -> None:
        """Stop. If a message has not been sent yet, the worker's sweep publishes its events."""
        self._unsubscribe()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._sender.shutdown(wait=False, cancel_futures=True)

    async def _run(self) -> None:
        reachable = True
        while True:
            await self._pending.wait()
            await asyncio.sleep(_COALESCE_SECONDS)
            self._pending.clear()
            try:
                await asyncio.get_running_loop().run_in_executor(self._sender, self._send)
            except (OperationalError, OSError) as error:
                if reachable:
                    log.warning("broker_unreachable", reason=type(error).__name__)
                reachable = False
                await asyncio.sleep(_PAUSE_AFTER_FAILURE_SECONDS)
            else:
                if not reachable:
                    log.info("broker_reachable")
                reachable = True
