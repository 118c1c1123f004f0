"""uvicorn's WebSocket protocol, with a limit to how long a peer may leave bytes unread.

Without it, a peer that stops reading would keep its socket open without end: sending and closing both wait for room in
the write buffer, which never becomes empty, and the process could not end either.
"""

import asyncio
import logging
from asyncio.transports import BaseTransport
from typing import Any, Final

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

# Written bytes must have been sent to the peer within this time.
STALL_SECONDS: Final = 10.0
# How long to wait for the peer's close frame.
CLOSE_SECONDS: Final = 5.0
# How long a peer may take to read the remaining bytes when the process ends.
SHUTDOWN_SECONDS: Final = 3.0

# At level INFO the protocol logs the URL of each socket, which may contain a ticket. Warnings are still logged.
_logger = logging.getLogger("uvicorn.websockets")
_logger.setLevel(logging.WARNING)


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's protocol, which aborts the connection if the peer has not read for too long."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = _logger
        self.conn.debug = False  # The debug log would contain headers and messages, and so tokens.
        self.close_timeout = CLOSE_SECONDS
        self._abort_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: BaseTransport) -> None:
        """Make the transport call `pause_writing` as soon as one byte waits, so that every stall is noticed."""
        super().connection_made(transport)
        self.transport.set_write_buffer_limits(high=0)

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
        """Send a message when there is room for it. A close frame does not wait, so that a slow peer gets the code."""
        if message["type"] == "websocket.close":
            self.writable.set()
        await super().send(message)

    def _abort_after(self, seconds: float) -> None:
        self._cancel_abort()
        self._abort_timer = self.loop.call_later(seconds, self.transport.abort)

    def _cancel_abort(self) -> None:
        if self._abort_timer is not None:
            self._abort_timer.cancel()
            self._abort_timer = None
