"""The WebSocket protocol of the server, with a limit to how long a peer may leave bytes unread.

A peer that stops reading would otherwise keep its socket for ever: sending and closing both wait for room in a buffer
that never empties, and the process cannot end either.
"""

import asyncio
import logging
from asyncio.transports import BaseTransport
from typing import Any, Final

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

# Whatever has been written must have left within this time.
STALL_SECONDS: Final = 10.0
# So long a peer may take to answer a close frame.
CLOSE_SECONDS: Final = 5.0
# So long a peer may take to read the rest when the process ends.
SHUTDOWN_SECONDS: Final = 3.0

# The protocol logs the address of a socket, and the address may hold a ticket; what it warns of is still wanted.
_logger = logging.getLogger("uvicorn.websockets")
_logger.setLevel(logging.WARNING)


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's protocol, which aborts the connection where the peer has not read for too long."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = _logger
        self.conn.debug = False  # Its debug log would hold headers and messages, and so tokens.
        self.close_timeout = CLOSE_SECONDS
        self._stall: asyncio.TimerHandle | None = None

    def connection_made(self, transport: BaseTransport) -> None:
        """Have the transport call `pause_writing` as soon as a byte has to wait, so that no stall goes unnoticed."""
        super().connection_made(transport)
        self.transport.set_write_buffer_limits(high=0)

    def pause_writing(self) -> None:
        """Give the peer time to read what waits."""
        super().pause_writing()
        self._abort_after(STALL_SECONDS)

    def resume_writing(self) -> None:
        """The peer has read all of it."""
        self._abort_never()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone, one way or the other."""
        self._abort_never()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Close with 1012 because the process ends, and do not wait long for the peer."""
        if not self.transport.is_closing():
            super().shutdown()
        self._abort_after(SHUTDOWN_SECONDS)

    async def send(self, message: ASGISendEvent) -> None:
        """Send a message when there is room for it; a close frame does not wait, or a slow peer never learned why."""
        if message["type"] == "websocket.close":
            self.writable.set()
        await super().send(message)

    def _abort_after(self, seconds: float) -> None:
        self._abort_never()
        self._stall = self.loop.call_later(seconds, self.transport.abort)

    def _abort_never(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
