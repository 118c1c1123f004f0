"""uvicorn's HTTP protocol, with limits to the size and the duration of a request before the application sees it.

Without them, the parser stores a head of any size, and a connection stays open as long as its client leaves a request
unfinished. uvicorn has no settings for this, so this module overrides methods of its protocol. No other module does.
"""

import asyncio
import uuid
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final

import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from api.http.overload import RequestsUnderWay, overload_refusal, pause_seconds
from api.http.refusals import refusal
from api.http.response_writer import ResponseWriter
from api.http.unread_responses import ReadingWatch
from core import metrics

log = structlog.get_logger()

MAX_HEAD_BYTES: Final = 32 * 1024
MAX_HEADERS: Final = 100
# How many requests may wait on one connection while an earlier one is served. uvicorn itself stores all that arrive.
MAX_PIPELINED: Final = 100
_VERSIONS: Final = frozenset({"1.0", "1.1"})
# A body must arrive at least at this rate, or its client counts as stalled.
BODY_BYTES_PER_SECOND: Final = 1024
# How much of a body is dropped after its request has been refused. Most bodies may have no more than this, so most
# clients can keep their connection.
MAX_DROPPED_BYTES: Final = 1024 * 1024
# How long to wait after a refusal until the client has read it. If the connection were closed at once while the client
# still sends, the client's system would discard the response.
_LINGER_SECONDS: Final = 2.0

# Stands for a request that has been answered, of which only the rest of a body may arrive.
_ANSWERED: Final[Any] = SimpleNamespace(response_complete=True, message_event=asyncio.Event())


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long a client may take to send a request, in seconds.

    Args:
        head: For the request line and the headers.
        body: For the whole body.
        stall: The span over which the rate of a body is measured.
    """

    head: float
    body: float
    stall: float


class RefusedError(Exception):
    """Stops the parser after a refusal. The protocol catches it where it calls the parser."""


class HttpProtocol(HttpToolsProtocol):
    """Serves one connection, and refuses heads that are too large and requests that arrive too slowly."""

    def __init__(
        self, *args: Any, deadlines: Deadlines, requests: RequestsUnderWay, header_lines: bytes, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._header_lines = header_lines
        self._deadlines = deadlines
        self._requests = requests
        self._timer: asyncio.TimerHandle | None = None
        # The parser may have stored as many bytes as were given to it since the last call of `on_headers_complete()`,
        # `on_body()` or `on_message_complete()`: the beginning of a head, or of the trailers after a chunked body.
        self._stored_bytes = 0
        self._in_head = False
        self._in_body = False
        self._phase_started = self.loop.time()
        self._body_bytes = 0
        self._dropped_bytes = 0
        self._is_refused = False
        self._is_upgraded = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn narrows it too.
        """Start the deadline for the first head. uvicorn itself waits without end for a client that sends nothing."""
        super().connection_made(transport)
        self._reading = ReadingWatch(self.loop, transport, self._address())
        self._check_after(self._deadlines.head)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the deadline and the watch, because the connection has ended."""
        self._stop_timer()
        self._reading.stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Give the bytes to the parser in pieces, so that it never stores more of a head than a head may have."""
        while data and not self._is_finished():
            room = MAX_HEAD_BYTES - self._stored_bytes
            piece, data = data[:room], data[room:]
            self._stored_bytes += len(piece)
            super().data_received(piece)
            if self._stored_bytes >= MAX_HEAD_BYTES and not self._is_finished():
                self._refuse_head()
        if not self._is_finished():
            self._watch()

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection to the WebSocket protocol, which has limits of its own."""
        self._is_upgraded = True
        self._stop_timer()
        self._reading.stop()
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        """Refuse a request that the parser does not understand."""
        if not self._is_refused:
            self._refuse(400, "bad_request", msg)

    def on_message_begin(self) -> None:
        """Note that a head has begun."""
        super().on_message_begin()
        self._in_head = True
        self._phase_started = self.loop.time()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Store a header, or a trailer of a chunked body, unless there are too many.

        Raises:
            RefusedError: if there are too many; this stops the parser.
        """
        if len(self.headers) >= MAX_HEADERS:
            self._refuse_head()
            raise RefusedError
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start the request, whose body may follow.

        Raises:
            RefusedError: if too many requests wait already, or if its version of HTTP is not served, which Falcon would
                report as a bug, or if the process is overloaded and the connection ends.
        """
        if len(self.pipeline) >= MAX_PIPELINED:
            self._refuse(429, "too_many_at_once", "Too many requests wait on this connection.")
            raise RefusedError
        if self.parser.get_http_version() not in _VERSIONS:
            self._refuse(400, "bad_request", "Only HTTP/1.0 and HTTP/1.1 are understood.")
            raise RefusedError
        self._in_head, self._in_body = False, True
        self._phase_started = self.loop.time()
        self._stored_bytes = self._body_bytes = self._dropped_bytes = 0
        # The deadline of the head must not end in the first seconds of the body, which has a deadline of its own.
        self._stop_timer()
        if not self._is_responding() and self._requests.refuse(self.url):
            self._refuse_overload()
            return
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Pass a piece of the body on, or drop it if the response is complete, and count its bytes.

        Raises:
            RefusedError: if too much has been dropped; this stops the parser, and the rest is not read.
        """
        self._stored_bytes = 0
        self._body_bytes += len(body)
        if self.cycle.response_complete:
            self._dropped_bytes += len(body)
            if self._dropped_bytes > MAX_DROPPED_BYTES:
                self._stop_reading()
                raise RefusedError
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that the request has arrived completely."""
        self._in_body = False
        self._stored_bytes = 0
        super().on_message_complete()

    def _is_finished(self) -> bool:
        """Return whether this protocol must not parse anything any more."""
        return self._is_refused or self._is_upgraded or self.transport.is_closing()

    def _watch(self) -> None:
        """Start the deadline if a request has arrived only in part, or stop it."""
        if not (self._in_head or self._in_body or self._stored_bytes):
            self._stop_timer()
            self._close_when_idle()
        elif self._timer is None:
            self._check_after(self._deadlines.stall if self._in_body else self._deadlines.head)

    def _close_when_idle(self) -> None:
        """Start uvicorn's timer for idle connections again, if the rest of a body after its response has stopped it."""
        if self.cycle is not None and self.cycle.response_complete and self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _check_after(self, seconds: float) -> None:
        self._timer = self.loop.call_later(seconds, self._check)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        """Refuse the request if it has not arrived in time, or look again later."""
        if self._in_body:
            self._check_body()
        else:
            self._check_head()

    def _check_head(self) -> None:
        if self._is_responding():
            self._phase_started = self.loop.time()
        remaining = self._phase_started + self._deadlines.head - self.loop.time()
        if remaining > 0:
            self._check_after(remaining)
        elif self._in_head or self._stored_bytes:
            self._refuse(408, "request_timeout", "The head of the request did not arrive in time.")
        else:
            self.transport.close()

    def _check_body(self) -> None:
        is_stalled = self._body_bytes < BODY_BYTES_PER_SECOND * self._deadlines.stall
        is_late = self.loop.time() >= self._phase_started + self._deadlines.body
        self._body_bytes = 0
        if (is_stalled or is_late) and not self._is_server_slow():
            self._refuse(408, "request_timeout", "The body of the request did not arrive in time.")
        else:
            self._check_after(self._deadlines.stall)

    def _is_server_slow(self) -> bool:
        """Return whether the rest of the body has not arrived because the server does not read or want it yet."""
        is_unasked = self._is_responding() and self.cycle.waiting_for_100_continue
        return self.flow.read_paused or is_unasked

    def _is_responding(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        cycle.send = ResponseWriter(cycle, self._header_lines).send  # type: ignore[assignment,method-assign]  # Falcon sends two of its events.
        super()._start_asgi_task(cycle, self._requests.begin(app))

    def _refuse_overload(self) -> None:
        """Refuse a request at the least cost, and keep the connection unless its next bytes may be no request."""
        closes = self.expect_100_continue or self.parser.should_upgrade() or not self.parser.should_keep_alive()
        self.transport.write(overload_refusal(has_body=self.parser.get_method() != b"HEAD", closes=closes))
        if closes:
            self._is_refused = True
            self._unset_keepalive_if_required()
            self._close_when_read()
            raise RefusedError
        self.cycle = _ANSWERED
        self.flow.pause_reading()
        self.loop.call_later(pause_seconds(), self._resume_reading)

    def _resume_reading(self) -> None:
        if not self.transport.is_closing():
            self.flow.resume_reading()

    def _refuse_head(self) -> None:
        self._refuse(
            431,
            "head_too_large",
            f"The head of a request may have at most {MAX_HEAD_BYTES} bytes and {MAX_HEADERS} headers.",
        )

    def _refuse(self, status: int, code: str, detail: str) -> None:
        """Send a problem document and end the connection.

        Nothing is sent if it could be taken for a part of another response.
        """
        self._is_refused = True
        self._stop_timer()
        self._unset_keepalive_if_required()
        metrics.CONNECTION_REFUSALS.add(1, status)
        request_id = uuid.uuid4().hex
        log.info("connection_refused", status=status, code=code, request_id=request_id, address=self._address())
        is_free = not self._is_responding() or (self._in_body and not self.cycle.response_started and not self.pipeline)
        if not is_free or (self._in_body and self.cycle.response_complete):
            self.transport.close()
            return
        if self._is_responding():
            # The application gets a disconnect when it reads the rest of the body, and what it sends is dropped.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.write(refusal(status, code, detail, request_id))
        self._close_when_read()

    def _stop_reading(self) -> None:
        """End the connection of a client that still sends a body whose request has been answered.

        The response has been sent. What the client sends further stays in the buffers of the two systems.
        """
        self._is_refused = True
        self._stop_timer()
        self._unset_keepalive_if_required()
        log.info("unwanted_body_unread", address=self._address())
        self._close_when_read()
        self.flow.pause_reading()

    def _close_when_read(self) -> None:
        """Close after the client has closed, or after some seconds. What it still sends is dropped."""
        if not self.transport.can_write_eof():
            self.transport.close()
            return
        self.transport.write_eof()
        self.flow.resume_reading()
        self._timer = self.loop.call_later(_LINGER_SECONDS, self.transport.abort)

    def _address(self) -> str | None:
        return None if self.client is None else self.client[0]
