"""WebSockets that only receive: a thousand of them cost the generator little, because they do not parse frames."""

import asyncio
import base64
import os
from typing import Final, cast

END: Final = b"the end"
"""The text in the last frame that is sent to the sockets."""

_AT_ONCE: Final = 100


class Listening(asyncio.Protocol):
    """A client socket. Its futures are done with the end of the handshake, and with the last frame."""

    def __init__(self, handshake: bytes) -> None:
        loop = asyncio.get_running_loop()
        self._handshake = handshake
        # The last bytes that came, because the end can come in two pieces.
        self._tail = b""
        self.ready: asyncio.Future[None] = loop.create_future()
        self.end: asyncio.Future[None] = loop.create_future()
        self.received = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._handshake)

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        if not self.ready.done() and b"\r\n\r\n" in data:
            self.ready.set_result(None)
        data = self._tail + data
        self._tail = data[-len(END) :]
        if not self.end.done() and END in data:
            self.end.set_result(None)

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()


async def open_sockets(port: int, count: int, path: str = "/", token: str = "") -> list[Listening]:
    """Open sockets, some of them at a time."""
    loop = asyncio.get_running_loop()
    opened: list[Listening] = []
    while len(opened) < count:
        some = [
            (await loop.create_connection(lambda: Listening(_handshake(path, token)), "127.0.0.1", port))[1]
            for _ in range(min(_AT_ONCE, count - len(opened)))
        ]
        await asyncio.gather(*(listener.ready for listener in some))
        opened += some
    return opened


def _handshake(path: str, token: str) -> bytes:
    lines = [
        f"GET {path} HTTP/1.1",
        "Host: bench",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        f"Authorization: Bearer {token}",
    ]
    return "\r\n".join([*lines, "", ""]).encode()
