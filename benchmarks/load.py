"""A small HTTP/1.1 load generator. Its connections are kept alive; each has one open request at a time."""

import asyncio
import time
from dataclasses import dataclass
from typing import Final, cast

_HEADER_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length: "


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


class _Connection(asyncio.Protocol):
    def __init__(self, request: bytes, deadline: float, finished: asyncio.Future[int]) -> None:
        self._request = request
        self._deadline = deadline
        self._finished = finished
        self._received = b""
        self._responses = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, rest = self._received.partition(_HEADER_END)
        if not separator:
            return
        length = int(head.lower().partition(_LENGTH)[2].split(b"\r\n", 1)[0])
        if len(rest) < length:
            return
        if not head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201")):
            self._finished.set_exception(RuntimeError(head.decode() + rest.decode()))
            self._transport.abort()
            return
        self._received = b""
        self._responses += 1
        if time.monotonic() < self._deadline:
            self._transport.write(self._request)
        else:
            self._transport.close()
            self._finished.set_result(self._responses)


async def _load(port: int, request: Request, connections: int, seconds: float) -> float:
    loop = asyncio.get_running_loop()
    encoded = request.encode(f"127.0.0.1:{port}")
    start = time.monotonic()
    finished: list[asyncio.Future[int]] = []
    for _ in range(connections):
        future: asyncio.Future[int] = loop.create_future()
        finished.append(future)
        await loop.create_connection(
            lambda future=future: _Connection(encoded, start + seconds, future),  # type: ignore[misc]  # one future each
            "127.0.0.1",
            port,
        )
    responses = sum(await asyncio.gather(*finished))
    return responses / (time.monotonic() - start)


def requests_per_second(port: int, request: Request, *, connections: int = 32, seconds: float = 3.0) -> float:
    """Send requests to a server on this machine for `seconds` and return the number of responses per second."""
    return asyncio.run(_load(port, request, connections, seconds))
