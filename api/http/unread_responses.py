"""Ends connections whose client does not read its responses.

Without this, the unread bytes, the connection and whatever the request occupies would be kept without end, because both
writing and closing wait until the client has read what was written before.
"""

import asyncio
import socket
import struct
import sys
from typing import Final

import structlog

log = structlog.get_logger()

# The span over which the rate of reading is measured, in seconds. A client that stops is noticed in the second span.
STALL_SECONDS: Final = 60.0
# Bytes that wait must be read at least at this rate. Even a very slow network is faster.
READ_BYTES_PER_SECOND: Final = 256

# Other kernels do not tell how many bytes a client has confirmed. There no connection is aborted.
_IS_MEASURED: Final = sys.platform == "linux"
# `tcpi_bytes_acked` in the kernel's `struct tcp_info`: an unsigned number of 64 bits.
_CONFIRMED: Final = struct.Struct("=120xQ")


class ReadingWatch:
    """Watches one connection from its beginning until `stop()`, and aborts it if its client does not read.

    It looks at the connection at regular intervals, and not only while the application waits for the client: a small or
    complete response can remain unread, too, also after the connection was told to close.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, address: str | None) -> None:
        self.transport = transport
        self._loop = loop
        self._address = address
        self._waiting_bytes = 0
        self._confirmed_bytes = 0
        self._timer = loop.call_later(STALL_SECONDS, self._check)

    def stop(self) -> None:
        """Watch no longer, because the connection has ended or another protocol has taken it over."""
        self._timer.cancel()

    def _check(self) -> None:
        waited, confirmed = self._waiting_bytes, self._confirmed_bytes
        self._waiting_bytes = self.transport.get_write_buffer_size() if _IS_MEASURED else 0
        self._confirmed_bytes = _confirmed_bytes(self.transport) if self._waiting_bytes else 0
        # A client that has read all that waited at the last check is not slow, even if this was little.
        expected = min(waited, int(READ_BYTES_PER_SECOND * STALL_SECONDS))
        if self._waiting_bytes and self._confirmed_bytes - confirmed < expected:
            log.info("response_unread", address=self._address, waiting_bytes=self._waiting_bytes)
            self.transport.abort()
        else:
            self._timer = self._loop.call_later(STALL_SECONDS, self._check)


def _confirmed_bytes(transport: asyncio.Transport) -> int:
    """Return how many bytes the client's system has confirmed since the connection began.

    The size of the write buffer does not show whether a slow client reads: the kernel has a buffer of some megabytes,
    and takes more from the process only after a large part of it has been sent.
    """
    info = transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _CONFIRMED.size)
    confirmed: int = _CONFIRMED.unpack(info)[0]
    return confirmed
