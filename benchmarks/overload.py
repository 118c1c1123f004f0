"""Offer a web process three times the requests that it can serve. See README.md in this directory."""

import argparse
import asyncio
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

import psutil  # type: ignore[import-untyped]  # - the package ships no types
import uvloop

from benchmarks.load import Request, requests_per_second
from benchmarks.run import KEY, _seed, free_port, server
from core.local.embedded.servers import EmbeddedPostgres, EmbeddedRedis
from core.migrations import migrate
from core.security import TokenIssuer

CONNECTIONS: Final = 600
TIMES_CAPACITY: Final = 3
_TICK_SECONDS: Final = 0.002
_PROBE_SECONDS: Final = 0.02
_WARM_UP_SECONDS: Final = 1.0


@dataclass
class Outcome:
    """What came back: the latencies of good responses and the number of others by status, and how late sends were."""

    latencies: list[float] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    lateness: list[float] = field(default_factory=list)
    cpu_seconds: float = 0.0


class _Connection(asyncio.Protocol):
    """A connection that sends a request when it is told to, and is idle again after the response."""

    def __init__(self, idle: deque["_Connection"], outcome: Outcome) -> None:
        self._idle = idle
        self._outcome = outcome
        self._received = b""
        self._due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._idle.append(self)

    def send(self, request: bytes, due: float) -> None:
        """Send a request that was due at this time of the loop's clock."""
        self._due = due
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
        self._idle.append(self)

    def connection_lost(self, _error: Exception | None) -> None:
        self._outcome.others["connection lost"] += 1


async def _offer(port: int, request: bytes, rate: float, connections: int, seconds: float) -> Outcome:
    """Send `rate` requests a second at regular times, whatever the server responds."""
    loop = asyncio.get_running_loop()
    outcome = Outcome()
    idle: deque[_Connection] = deque()
    for _ in range(connections):
        await loop.create_connection(lambda: _Connection(idle, outcome), "127.0.0.1", port)
    start = time.monotonic()
    cpu = time.process_time()
    sent = 0
    while (now := time.monotonic()) < start + seconds:
        while sent < (now - start) * rate and idle:
            idle.popleft().send(request, start + sent / rate)
            sent += 1
        await asyncio.sleep(_TICK_SECONDS)
    outcome.cpu_seconds = time.process_time() - cpu
    # What has not come back after this is neither good nor refused in time.
    await asyncio.sleep(1)
    outcome.others["never sent"] += int(seconds * rate) - sent
    outcome.others["no response"] += sent - len(outcome.lateness) + connections - len(idle)
    return outcome


def offer(port: int, request: bytes, rate: float, connections: int, seconds: float) -> Outcome:
    """Run `_offer` in this process."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_offer(port, request, rate, connections, seconds))


def _cpu_seconds(module: str) -> float:
    """Return the CPU time that the child of this process which runs this module has used."""
    (process,) = [child for child in psutil.Process().children() if module in child.cmdline()]
    used = process.cpu_times()
    return float(used.user + used.system)


def _percentile(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1] * 1000


def _latencies(outcome: Outcome) -> str:
    p50, p99 = _percentile(outcome.latencies, 50), _percentile(outcome.latencies, 99)
    return f"{p50:.1f} ms p50, {p99:.1f} ms p99, {max(outcome.latencies) * 1000:.1f} ms at most"


def main() -> None:
    """Measure the capacity and the overload, and print both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    seconds = parser.parse_args().seconds
    with (
        tempfile.TemporaryDirectory(prefix="allweather-bench-") as directory,
        EmbeddedPostgres(Path(directory) / "postgres") as postgres,
        EmbeddedRedis(Path(directory) / "redis") as redis,
        ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as generators,
    ):
        migrate(postgres.url)
        actor, task_id = _seed(postgres.url)
        port = free_port()
        environ = {
            "DATABASE_URL": postgres.url,
            "REDIS_URL": redis.url,
            "SECRET_KEY": KEY,
            "PORT": str(port),
            "LOG_FILE": str(Path(directory) / "app.log"),
            "RATE_LIMIT": "100000000/minute",
            "RATE_LIMIT_HEALTH": "100000000/minute",
        }
        token = TokenIssuer(KEY, 86_400).access_token(actor.user_id, actor.session_id)
        read = Request("GET", f"/api/v1/tasks/{task_id}", token)
        health = Request("GET", "/health", token).encode("127.0.0.1")
        with server([sys.executable, "-m", "api"], port, environ):
            requests_per_second(port, read, seconds=_WARM_UP_SECONDS)
            cpu = [_cpu_seconds("api")]
            best = generators.submit(requests_per_second, port, read, seconds=seconds).result()
            cpu.append(_cpu_seconds("api"))
            flood = generators.submit(
                offer, port, read.encode("127.0.0.1"), TIMES_CAPACITY * best, CONNECTIONS, seconds
            )
            probes = generators.submit(offer, port, health, 1 / _PROBE_SECONDS, 50, seconds)
            overload, probed = flood.result(), probes.result()
            cpu.append(_cpu_seconds("api"))
            after = generators.submit(requests_per_second, port, read, seconds=seconds).result()
    good = len(overload.latencies) / seconds
    alone, flooded = cpu[1] - cpu[0], cpu[2] - cpu[1]
    rows = {
        "best rate": f"{best:.0f} good responses a second, 32 connections, closed loop",
        "offered": f"{TIMES_CAPACITY * best:.0f} requests a second, {CONNECTIONS} connections, open loop",
        "good under overload": f"{good:.0f} a second, {good / best:.0%} of the best rate",
        "the others": str(dict(overload.others)),
        "good responses": _latencies(overload),
        "GET /health": f"{_latencies(probed)}, others: {dict(probed.others)}",
        "afterwards": f"{after:.0f} good responses a second",
        "server, alone": f"{alone / best / seconds * 1e6:.0f} µs a response, {alone / seconds:.0%} of a core",
        "server, overloaded": f"{flooded / good / seconds * 1e6:.0f} µs a good response, "
        f"{flooded / seconds:.0%} of a core",
        "generator": f"{_percentile(overload.lateness, 99):.1f} ms late (p99), "
        f"{overload.cpu_seconds / seconds:.0%} of a core",
    }
    for name, text in rows.items():
        print(f"{name:22}{text}")


if __name__ == "__main__":
    main()
