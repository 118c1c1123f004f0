"""Writes the head of a response together with the first part of its body.

uvicorn writes the two separately. Each write is a system call and a packet, which together cost more than all that the
application does for a small request.
"""

import asyncio
from typing import Final

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class JoinedWrites:
    """The transport of one response with a body; it keeps the head until something is written after it."""

    __slots__ = ("_head", "_is_head_written", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""
        self._is_head_written = False

    def write(self, data: bytes) -> None:
        """Write a part of the response: first its whole head, then the parts of its body."""
        if self._is_head_written:
            self._transport.write(data)
        elif self._head:
            self._is_head_written = True
            self._transport.write(self._head + data)
        elif data == _CONTINUE:
            self._transport.write(data)
        else:
            self._head = data

    def is_closing(self) -> bool:
        """Whether the connection is being closed."""
        return self._transport.is_closing()

    def close(self) -> None:
        """Close the connection after what was written, which may be a head alone if the application has failed."""
        if self._head and not self._is_head_written:
            self._transport.write(self._head)
        self._transport.close()
