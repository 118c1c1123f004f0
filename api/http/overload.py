"""Refuses requests early when a process has more to do than it can do in time.

A process that accepts everything makes everybody wait: each request under way delays all others, and in the end all of
them are answered too late. Here a request beyond the bound gets its 503 before anything is done for it. Besides reading
from the connection and writing to it, this costs 8 µs, while a good response costs at least 200 µs. So the process
has time left for those that it has accepted.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from random import uniform
from secrets import token_hex
from typing import Any, Final

import structlog

from api.http.refusals import refusal
from core import metrics
from core.activity import ACTIVITY, OVERLOADED
from core.messages import msg

log = structlog.get_logger()

_Event = Mapping[str, Any]
_Receive = Callable[[], Awaitable[_Event]]
_Send = Callable[[Any], Awaitable[None]]
_App = Callable[[Any, _Receive, _Send], Awaitable[None]]

_place: "ContextVar[_Place | None]" = ContextVar("place", default=None)

TOO_BUSY: Final = msg("The service is too busy or a part of it is down. Please try again.")

# How many requests may be under way in a process. Whatever arrives waits for the loop's work on all of them, and all
# advance together, one step in each turn of the loop. Eight for each of the 8 database threads keep the threads busy.
# At three times the load, benchmarks/overload.py kept 66 % of the best rate with 32 and 82 % with 64; the p99 of
# `/health` was 60 ms with 32, 98 ms with 64, and a second with 160, all before refused connections came back at
# different times.
MOST_UNDER_WAY: Final = 64
# The probes of the health endpoints have some places beyond these, so that an overloaded process is not taken for dead.
MORE_FOR_HEALTH: Final = 20
# How long the next request on a connection is left unread after a refusal, on average. Otherwise clients that repeat at
# once would cause a refusal for each step of the requests under way: 14,382 instead of 3,818 to 5,273 in two seconds,
# when tried.
PAUSE_SECONDS: Final = 0.2
_HEALTH: Final = frozenset({b"/health", b"/health/ready"})
_RETRY_SECONDS: Final = 1
# A spell of overload has ended when nothing was refused for this time.
CALM_SECONDS: Final = 10.0

_ID: Final = "0" * 32
_REFUSALS: Final = {
    closes: refusal(503, "overloaded", TOO_BUSY, _ID, closes=closes, retry_after=_RETRY_SECONDS)
    for closes in (False, True)
}


def overload_refusal(*, has_body: bool, closes: bool) -> bytes:
    """Return a 503 with a new request id. The response to HEAD has no body; `closes` says that the connection ends."""
    response = _REFUSALS[closes].replace(_ID.encode(), token_hex(len(_ID) // 2).encode())
    return response if has_body else response.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"


def pause_seconds() -> float:
    """Return how long to leave the next request on a connection unread after a refusal.

    Each connection gets another time. Otherwise all that were refused together would be read together again, and while
    the process refuses hundreds of them in one turn of its loop, nothing else advances.
    """
    return uniform(0.5, 1.5) * PAUSE_SECONDS  # noqa: S311 - nothing is secret about it.


class OverloadLog:
    """Logs one line when refusals begin and one when they have ended, since a line for each would add to the load."""

    def __init__(self, part: str) -> None:
        self._part = part
        self._refused = 0
        self._latest = 0.0
        metrics.OVERLOAD_REFUSALS.begin(part)

    def note_refusal(self) -> None:
        """Count a refusal; this must be called in the event loop."""
        self._latest = time.monotonic()
        self._refused += 1
        metrics.OVERLOAD_REFUSALS.add(1, self._part)
        ACTIVITY.count(OVERLOADED)
        if self._refused == 1:
            log.warning("overloaded", part=self._part)
            asyncio.get_running_loop().call_later(CALM_SECONDS, self._check)

    def _check(self) -> None:
        remaining = self._latest + CALM_SECONDS - time.monotonic()
        if remaining > 0:
            asyncio.get_running_loop().call_later(remaining, self._check)
        else:
            log.info("overload_over", part=self._part, refused=self._refused)
            self._refused = 0


class RequestsUnderWay:
    """Counts the requests that this process works on.

    A request does not count while it waits for its client: for the rest of its body, or, once its response has begun,
    until the client has read it. So slow clients cannot make the process refuse others. Neither can many logins: a
    request does not count while it waits for a thread that hashes passwords or reads files (see `uncounted()`).
    """

    def __init__(self) -> None:
        self.count = 0
        self._log = OverloadLog("requests")
        metrics.REQUESTS_UNDER_WAY.read_from(lambda: self.count)

    def refuse(self, target: bytes) -> bool:
        """Return whether a request for this target must be refused, and note the refusal."""
        if self.count < MOST_UNDER_WAY:
            return False
        if target.partition(b"?")[0] in _HEALTH and self.count < MOST_UNDER_WAY + MORE_FOR_HEALTH:
            return False
        self._log.note_refusal()
        return True

    def begin(self, app: _App) -> _App:
        """Count a request from now on, and return the application that serves it and ends the counting.

        It counts before its task starts, because many requests may arrive before the loop starts the first of them.
        """
        return _Place(self, app)


@contextmanager
def uncounted() -> Iterator[None]:
    """Do not count the request of this context inside the block: it waits for something that has a bound of its own."""
    place = _place.get()
    with nullcontext() if place is None else place.uncounted():
        yield


class _Place:
    """An application that serves one request with another one, and counts it.

    The request counts while the process works on it, and not while it waits for its client.
    """

    __slots__ = ("_app", "_has_responded", "_receive", "_requests", "_send")

    def __init__(self, requests: RequestsUnderWay, app: _App) -> None:
        self._requests = requests
        self._app = app
        self._has_responded = False
        requests.count += 1

    async def __call__(self, scope: Any, receive: _Receive, send: _Send) -> None:
        self._receive, self._send = receive, send
        _place.set(self)
        try:
            await self._app(scope, self._receive_uncounted, self._send_and_end)
        finally:
            self._end()

    @contextmanager
    def uncounted(self) -> Iterator[None]:
        """Do not count the request inside the block."""
        if self._has_responded:
            yield
            return
        self._requests.count -= 1
        try:
            yield
        finally:
            self._requests.count += 1

    async def _receive_uncounted(self) -> _Event:
        # This is called for every request, so it does without the context manager above, which is slower.
        if self._has_responded:
            return await self._receive()
        self._requests.count -= 1
        try:
            return await self._receive()
        finally:
            self._requests.count += 1

    async def _send_and_end(self, event: Any) -> None:
        self._end()
        await self._send(event)

    def _end(self) -> None:
        if not self._has_responded:
            self._has_responded = True
            self._requests.count -= 1
