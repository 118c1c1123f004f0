"""A load generator in Python that sends requests at regular times, whatever the server responds."""

import asyncio
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Final, cast

import uvloop

_TICK_SECONDS: Final = 0.002
_GRACE_SECONDS: Final = 1.0


@dataclass
class Outcome:
    """What became of the requests that were due.

    `latencies` are those of the good responses (200), and `lateness` tells for each request that was sent how late it
    was sent, both in seconds. `others` counts the remaining requests by the status of their response, or by what
    happened to them. `cpu_seconds` is the CPU time of the generator.
    """

    latencies: list[float] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    lateness: list[float] = field(default_factory=list)
    cpu_seconds: float = 0.0


@dataclass
class _Connections:
    """The open connections: those that may send, and those that wait for a response."""

    idle: deque["_Connection"] = field(default_factory=deque)
    waiting: set["_Connection"] = field(default_factory=set)


class _Connection(asyncio.Protocol):
    """A connection that sends a request when it is told to, and is idle again after the response."""

    def __init__(self, connections: _Connections, outcome: Outcome) -> None:
        self._connections = connections
        self._outcome = outcome
        self._received = b""
        self._due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._connections.idle.append(self)

    def send(self, request: bytes, due: float) -> None:
        """Send a request that was due at this time of the loop's clock."""
        self._due = due
        self._connections.waiting.add(self)
        self._outcome.lateness.append(time.monotonic() - due)
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, rest = self._received.partition(b"\r\n\r\n")
        if not separator or len(rest) < int(head.lower().partition(b"content-length: ")[2].split(b"\r\n", 1)[0]):
            return
        self._received = b""
        status = head[9:12].decode()
        if status == "200":
            self._outcome.latencies.append(time.monotonic() - self._due)
        else:
            self._outcome.others[status] += 1
        self._connections.waiting.remove(self)
        self._connections.idle.append(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol prescribes it.
        if self in self._connections.waiting:
            self._connections.waiting.remove(self)
            self._outcome.others["connection lost"] += 1
        else:
            self._connections.idle.remove(self)


def offer(port: int, request: bytes, rate: float, connections: int, seconds: float) -> Outcome:
    """Offer `rate` requests a second. A request that is due while all connections wait is sent late, or never."""
    return uvloop.run(_offer(port, request, rate, connections, seconds))


async def _offer(port: int, request: bytes, rate: float, connections: int, seconds: float) -> Outcome:
    loop = asyncio.get_running_loop()
    outcome, opened = Outcome(), _Connections()
    for _ in range(connections):
        await loop.create_connection(lambda: _Connection(opened, outcome), "127.0.0.1", port)
    started, used = time.monotonic(), time.process_time()
    sent = 0
    while (now := time.monotonic()) < started + seconds:
        while sent < (now - started) * rate and opened.idle:
            opened.idle.popleft().send(request, started + sent / rate)
            sent += 1
        await asyncio.sleep(_TICK_SECONDS)
    outcome.cpu_seconds = time.process_time() - used
    # A response that comes even later counts as none.
    await asyncio.sleep(_GRACE_SECONDS)
    outcome.others["never sent"] += max(int(seconds * rate) - sent, 0)
    outcome.others["no response"] += len(opened.waiting)
    return outcome
