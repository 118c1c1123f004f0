"""uvicorn's WebSocket protocol, with limits to what a peer may send and to how long it may leave bytes unread.

Without the first limit, a peer that sends many small frames would delay all other clients of the process, because the
server needs far more time to parse a small frame than the peer needs to send it.

Without the second limit, a peer that stops reading would keep its socket open without end: sending and closing both
wait for room in the write buffer, which never becomes empty, and the process could not end either.
"""

import asyncio
import logging
from asyncio.transports import BaseTransport
from typing import Any, Final

import structlog
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State

from api.realtime.allowance import SocketAllowance

log = structlog.get_logger()

# Written bytes must have been sent to the peer within this time.
STALL_SECONDS: Final = 10.0
# How long to wait for the peer's close frame.
CLOSE_SECONDS: Final = 5.0
# How long a peer may take to read the remaining bytes when the process ends.
SHUTDOWN_SECONDS: Final = 3.0

# At level INFO the protocol logs the URL of each socket, which may contain a ticket. Warnings are still logged.
_logger = logging.getLogger("uvicorn.websockets")
_logger.setLevel(logging.WARNING)


# The extension of the ASGI scope with which the application writes frames that are encoded already.
WRITE_FRAME: Final = "allweather.write_frame"


def encoded_frame(text: str) -> bytes:
    """Return the bytes of a text frame that a server sends."""
    return Frame(Opcode.TEXT, text.encode()).serialize(mask=False)


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's protocol, which aborts the connection if the peer sends too much or has not read for too long."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = _logger
        self.conn.debug = False  # The debug log would contain headers and messages, and so tokens.
        self.close_timeout = CLOSE_SECONDS
        self._abort_timer: asyncio.TimerHandle | None = None
        self._allowance = SocketAllowance(self.loop.time())

    def connection_made(self, transport: BaseTransport) -> None:
        """Make the transport call `pause_writing` as soon as one byte waits, so that every stall is noticed."""
        super().connection_made(transport)
        self.transport.set_write_buffer_limits(high=0)

    def data_received(self, data: bytes) -> None:
        """Parse what the peer sends, unless it is more than its allowance: then abort the connection.

        The first call passes the handshake, which has been parsed and limited as an HTTP request.
        """
        if self.handshake_initiated and not self._allowance.permits(data, self.loop.time()):
            if not self.transport.is_closing():
                log.warning("socket_flooded", address=None if self.client is None else self.client[0])
            self.transport.abort()
            return
        super().data_received(data)

    def handle_connect(self, event: Request) -> None:
        """Start the application, unless the handshake was refused."""
        super().handle_connect(event)
        if not self.handshake_complete:
            extensions: Any = self.scope["extensions"]
            extensions[WRITE_FRAME] = self.write_frame

    def write_frame(self, frame: bytes) -> bool:
        """Write an encoded frame if the peer has read everything before; returns whether it was written."""
        if self.conn.state is not State.OPEN or self.transport.is_closing() or not self.writable.is_set():
            return False
        self.transport.write(frame)
        return True

    def pause_writing(self) -> None:
        """Start the time limit for the peer to read the waiting bytes."""
        super().pause_writing()
        self._abort_after(STALL_SECONDS)

    def resume_writing(self) -> None:
        """Stop the time limit, because all bytes have been sent."""
        self._cancel_abort()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the time limit, because the connection has ended."""
        self._cancel_abort()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Close with 1012 because the process ends, and abort if the peer does not read in time."""
        if not self.transport.is_closing():
            super().shutdown()
        self._abort_after(SHUTDOWN_SECONDS)

    async def send(self, message: ASGISendEvent) -> None:
        """Send a message when there is room for it. A close frame does not wait, so that a slow peer gets the code.

        Closing does nothing if the peer has left. uvicorn would raise an exception, which Falcon reports as a bug.
        """
        if message["type"] == "websocket.close":
            if self.disconnected:
                return
            self.writable.set()
        await super().send(message)

    def _abort_after(self, seconds: float) -> None:
        self._cancel_abort()
        self._abort_timer = self.loop.call_later(seconds, self.transport.abort)

    def _cancel_abort(self) -> None:
        if self._abort_timer is not None:
            self._abort_timer.cancel()
            self._abort_timer = None
