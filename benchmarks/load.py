"""A load generator in Python for HTTP/1.1. Its connections are kept alive; each has one open request at a time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, cast

CONNECTIONS: Final = 32
_HEADER_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length: "
_GOOD: Final = (b"HTTP/1.1 200", b"HTTP/1.1 201")


@dataclass(frozen=True, slots=True)
class Request:
    """The request that every connection repeats."""

    method: str
    path: str
    token: str
    body: bytes = b""

    def encode(self, host: str) -> bytes:
        """Return the bytes of the request."""
        head = (
            f"{self.method} {self.path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {self.token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(self.body)}\r\n\r\n"
        )
        return head.encode() + self.body


def flood(port: int, request: Request, seconds: float) -> list[float]:
    """Send each request as soon as its connection has its response; return the seconds that each response took.

    Raises:
        RuntimeError: if a response is not 200 or 201, or a connection is closed.
    """
    return asyncio.run(_flood(port, request, seconds))


def paced(port: int, request: Request, seconds: float, rate: float) -> list[float]:
    """Send `rate` requests a second at regular times; return the seconds from that time to each response.

    A request whose time has come while all connections are busy waits, and its wait counts. So a slow response does not
    hide the delay of those that should have been sent meanwhile.

    Raises:
        RuntimeError: if a response is not 200 or 201, or a connection is closed.
    """
    return asyncio.run(_paced(port, request, seconds, rate))


class _Connection(asyncio.Protocol):
    """A connection that sends the request and waits for its response."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._received = b""
        self._response: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._finish(RuntimeError(f"The connection was closed: {exc}"))

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, rest = self._received.partition(_HEADER_END)
        if not separator:
            return
        length = int(head.lower().partition(_LENGTH)[2].split(b"\r\n", 1)[0])
        if len(rest) < length:
            return
        self._received = b""
        self._finish(None if head.startswith(_GOOD) else RuntimeError(head.decode() + rest.decode()))

    async def exchange(self) -> None:
        """Send the request and wait for the response."""
        self._response = asyncio.get_running_loop().create_future()
        self.transport.write(self._request)
        await self._response

    def _finish(self, error: RuntimeError | None) -> None:
        response, self._response = self._response, None
        if response is None or response.done():
            return
        if error is None:
            response.set_result(None)
        else:
            response.set_exception(error)


async def _flood(port: int, request: Request, seconds: float) -> list[float]:
    taken: list[float] = []
    deadline = time.monotonic() + seconds

    async def repeat(connection: _Connection) -> None:
        while (started := time.monotonic()) < deadline:
            await connection.exchange()
            taken.append(time.monotonic() - started)

    await _on_all_connections(port, request, repeat)
    return taken


async def _paced(port: int, request: Request, seconds: float, rate: float) -> list[float]:
    taken: list[float] = []
    started = time.monotonic()
    planned = iter([started + number / rate for number in range(int(rate * seconds))])

    async def take_next(connection: _Connection) -> None:
        """Send the request whose time is the next, until there is none. The connections take turns by asking."""
        for moment in planned:
            await asyncio.sleep(max(moment - time.monotonic(), 0))
            await connection.exchange()
            taken.append(time.monotonic() - moment)

    await _on_all_connections(port, request, take_next)
    return taken


async def _on_all_connections(port: int, request: Request, work: Callable[[_Connection], Awaitable[None]]) -> None:
    loop = asyncio.get_running_loop()
    encoded = request.encode(f"127.0.0.1:{port}")
    opened = [
        (await loop.create_connection(lambda: _Connection(encoded), "127.0.0.1", port))[1] for _ in range(CONNECTIONS)
    ]
    try:
        await asyncio.gather(*(work(connection) for connection in opened))
    finally:
        for connection in opened:
            connection.transport.abort()
