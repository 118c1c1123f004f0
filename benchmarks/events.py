"""Measure the path of an event: commit to listener, publication, fan-out, idle sockets, replay. See README.md."""

import argparse
import asyncio
import base64
import json
import logging
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, cast

import psutil  # type: ignore[import-untyped]  # - the package ships no types
import psycopg2
import structlog
import uvloop
from redis import Redis
from websockets.asyncio.client import connect

from benchmarks.load import Request
from benchmarks.run import CREATE, KEY, free_port
from core import db, events
from core.jobs import JobContext
from core.local.embedded.servers import EmbeddedPostgres, EmbeddedRedis
from core.migrations import migrate
from core.security import TokenIssuer
from core.services import accounts, event_partitions, publication, sessions
from core.services.sessions import Client

WORKER_PROCESSES: Final = 4
WORKER: Final = (
    f"--quiet --app worker.app worker --concurrency {WORKER_PROCESSES} --queues events,weather,mail,maintenance"
    " --without-gossip --without-mingle"
)
STREAM_LENGTH: Final = 10_000
CHANGES_PER_SECOND: Final = 100
WRITERS: Final = 10
SOCKETS: Final = 1000
FRAMES: Final = 100
TEXT: Final = "Clean the gutters before the rain comes. " * 8
END: Final = b"the end"


@dataclass(frozen=True)
class System:
    """The servers of a run, one account and its token."""

    web: psutil.Process
    port: int
    database_url: str
    redis_url: str
    environ: dict[str, str]
    user_id: int
    token: str


@contextmanager
def process(command: list[str], environ: dict[str, str]) -> Iterator[psutil.Process]:
    """Run a process until the block ends."""
    running = subprocess.Popen([sys.executable, *command], env=os.environ | environ, stdout=subprocess.DEVNULL)  # noqa: S603 - the commands are our own.
    try:
        yield psutil.Process(running.pid)
    finally:
        running.terminate()
        running.wait()


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.05)


@contextmanager
def system() -> Iterator[System]:
    """Start PostgreSQL, Redis and one web process, with a log that has events of a week, and make an account."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="allweather-bench-")))
        postgres = stack.enter_context(EmbeddedPostgres(directory / "postgres"))
        redis = stack.enter_context(EmbeddedRedis(directory / "redis"))
        migrate(postgres.url)
        db.configure(postgres.url, application="bench", statement_seconds=600)
        profile = accounts.register(username="bench", email=None, full_name=None, password_hash="-")  # noqa: S106 - not a hash.
        session = sessions.open_session(profile.id, Client("127.0.0.1", None), timedelta(days=1))
        port = free_port()
        environ = {
            "APP_ENV": "production",
            "DATABASE_URL": postgres.url,
            "REDIS_URL": redis.url,
            "SECRET_KEY": KEY,
            "PORT": str(port),
            "LOG_FILE": str(directory / "app.log"),
            "RATE_LIMIT": "100000000/minute",
            "SOCKETS_PER_USER": "100000",
        }
        token = TokenIssuer(KEY, 86_400).access_token(profile.id, session.session_id)
        execute(postgres.url, "DROP TABLE events_before")
        insert_events(postgres.url, profile.id, 7 * 24, spacing="1 hour")
        event_partitions.make_partitions(cast("JobContext", None))
        web = stack.enter_context(process(["-m", "api"], environ))
        wait_until(lambda: listens(port))
        publish_all(redis.url)
        yield System(web, port, postgres.url, redis.url, environ, profile.id, token)


def execute(database_url: str, sql: str, parameters: Any = None) -> None:
    connection = psycopg2.connect(database_url)
    connection.autocommit = True
    connection.cursor().execute(sql, parameters)
    connection.close()


def insert_events(database_url: str, user_id: int, count: int, spacing: str = "0", text: str = TEXT) -> None:
    """Insert events that are not published yet, the last one now and each other one earlier by `spacing`."""
    execute(
        database_url,
        "INSERT INTO events (type, actor_id, audience, data, at)"
        " SELECT 'task.reminder', %(user)s, ARRAY[%(user)s]::bigint[], json_build_object('title', %(text)s),"
        " clock_timestamp() - n * %(spacing)s::interval FROM generate_series(%(count)s - 1, 0, -1) n",
        {"user": user_id, "count": count, "spacing": spacing, "text": text},
    )


def publish_all(redis_url: str) -> int:
    with Redis.from_url(redis_url) as redis:
        return publication.publish(redis, STREAM_LENGTH, lambda _job: None)


def cpu_seconds(measured: psutil.Process) -> float:
    times = measured.cpu_times()
    return float(times.user + times.system)


def run_loop(main: Any) -> Any:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


async def write(port: int, request: bytes, times: int, pause: float) -> None:
    """Send a request at a constant rate over one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    loop = asyncio.get_running_loop()
    start = loop.time()
    for number in range(times):
        await asyncio.sleep(max(0.0, start + number * pause - loop.time()))
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 201 " not in head.split(b"\r\n", 1)[0]:
            raise RuntimeError(head.decode())
        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split(b"\r\n", 1)[0]))
    writer.close()


async def waits(run: System, seconds: float) -> list[float]:
    """Return, in milliseconds, how long after its insertion each event was received, the shortest time first.

    The insertion is some milliseconds before the commit, so these times are a little longer than from the commit on.
    """
    request = Request("POST", "/api/v1/tasks", run.token, CREATE).encode("bench")
    pause = WRITERS / CHANGES_PER_SECOND
    each = int(seconds / pause)
    url = f"ws://127.0.0.1:{run.port}/ws"
    async with connect(url, additional_headers={"Authorization": f"Bearer {run.token}"}, proxy=None) as listener:
        await listener.recv()

        async def writer(number: int) -> None:
            await asyncio.sleep(number * pause / WRITERS)
            await write(run.port, request, each, pause)

        writers = [asyncio.create_task(writer(number)) for number in range(WRITERS)]
        measured = []
        for _ in range(each * WRITERS):
            frame = json.loads(await listener.recv())
            measured.append((time.time() - datetime.fromisoformat(frame["at"]).timestamp()) * 1000)
        await asyncio.gather(*writers)
    return sorted(measured)


def latency(run: System, seconds: float) -> dict[str, float]:
    """From the insertion of an event to its listener, at a constant rate of changes, through a real worker."""
    with process(["-m", "celery", *WORKER.split()], run.environ) as worker:
        wait_until(lambda: len(worker.children()) >= WORKER_PROCESSES)
        run_loop(waits(run, 3))
        times = run_loop(waits(run, seconds))
    return {f"p{part}_ms": times[len(times) * part // 100] for part in (50, 90, 99)}


def backlog(run: System, count: int = 20_000) -> dict[str, float]:
    """Publish many waiting events."""
    insert_events(run.database_url, run.user_id, count)
    start, cpu = time.perf_counter(), time.process_time()
    published = publish_all(run.redis_url)
    seconds = time.perf_counter() - start
    return {"events_per_s": published / seconds, "cpu_us_per_event": (time.process_time() - cpu) / published * 1e6}


class Listening(asyncio.Protocol):
    """A client socket that only waits for the end of the handshake and of the frames."""

    def __init__(self, handshake: bytes) -> None:
        loop = asyncio.get_running_loop()
        self.handshake = handshake
        self.ready: asyncio.Future[None] = loop.create_future()
        self.end: asyncio.Future[None] = loop.create_future()
        self.received = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self.handshake)

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        if not self.ready.done() and b"\r\n\r\n" in data:
            self.ready.set_result(None)
        if END in data and not self.end.done():
            self.end.set_result(None)


def handshake(path: str, token: str) -> bytes:
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


async def open_sockets(port: int, count: int, path: str, token: str) -> list[Listening]:
    loop = asyncio.get_running_loop()
    opened: list[Listening] = []
    while len(opened) < count:
        some = [
            (await loop.create_connection(lambda: Listening(handshake(path, token)), "127.0.0.1", port))[1]
            for _ in range(min(100, count - len(opened)))
        ]
        await asyncio.gather(*(listener.ready for listener in some))
        opened += some
    return opened


async def frames_per_second(
    server: psutil.Process, port: int, path: str, token: str, start: Callable[[], object]
) -> dict[str, float]:
    """Return how many frames a server sends in a second when `start` (in a thread) makes it send to all sockets."""
    listeners = await open_sockets(port, SOCKETS, path, token)
    await asyncio.sleep(1)
    began, cpu = time.perf_counter(), cpu_seconds(server)
    await asyncio.gather(asyncio.to_thread(start), *(listener.end for listener in listeners))
    seconds, cpu = time.perf_counter() - began, cpu_seconds(server) - cpu
    for listener in listeners:
        listener.transport.close()
    return {"frames_per_s": SOCKETS * FRAMES / seconds, "cpu_us_per_frame": cpu / (SOCKETS * FRAMES) * 1e6}


def ask_peer(port: int) -> None:
    """Let the bare server broadcast frames that are as long as those of our events."""
    from websockets.sync.client import connect as connect_now  # noqa: PLC0415 - the name is that of the async one.

    with connect_now(f"ws://127.0.0.1:{port}", proxy=None, close_timeout=0) as peer:
        peer.send(f"{FRAMES} {TEXT}{' ' * 130}")
        while END.decode() not in str(peer.recv()):
            pass


def publish_frames(run: System) -> None:
    insert_events(run.database_url, run.user_id, FRAMES - 1)
    insert_events(run.database_url, run.user_id, 1, text=END.decode())
    publish_all(run.redis_url)


def fan_out(run: System, rounds: int) -> dict[str, float]:
    """Send a hundred frames to a thousand sockets, ours and those of a bare server, alternately."""
    own, bare = [], []
    for _ in range(rounds):
        own.append(run_loop(frames_per_second(run.web, run.port, "/ws", run.token, lambda: publish_frames(run))))
        port = free_port()
        with process(["-m", "benchmarks.broadcast_peer", str(port)], {}) as peer:
            wait_until(lambda port=port: listens(port))
            bare.append(run_loop(frames_per_second(peer, port, "/", "", lambda port=port: ask_peer(port))))
    best = {
        name: max(own, key=lambda result: result["frames_per_s"])[name] for name in ("frames_per_s", "cpu_us_per_frame")
    }
    peer_best = max(bare, key=lambda result: result["frames_per_s"])
    return best | {
        "bare_frames_per_s": peer_best["frames_per_s"],
        "bare_cpu_us_per_frame": peer_best["cpu_us_per_frame"],
        "ratio": best["frames_per_s"] / peer_best["frames_per_s"],
        "cpu_ratio": peer_best["cpu_us_per_frame"] / best["cpu_us_per_frame"],
    }


def idle(run: System, count: int) -> dict[str, float]:
    """Open many sockets on one process, and read its memory."""

    async def measure() -> dict[str, float]:
        (await open_sockets(run.port, 1, "/ws", run.token))[0].transport.close()
        before = run.web.memory_info().rss
        listeners = await open_sockets(run.port, count, "/ws", run.token)
        await asyncio.sleep(1)
        after = run.web.memory_info().rss
        for listener in listeners:
            listener.transport.close()
        return {"sockets": count, "memory_mb": after / 2**20, "kb_per_socket": (after - before) / count / 1024}

    # One descriptor in each of the two processes for a socket, and some for everything else.
    possible = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 500
    count = min(count, possible)
    result: dict[str, float] = run_loop(measure())
    return result


def replay(run: System, count: int) -> dict[str, float]:
    """Read many missed events over one socket."""
    since = events.bounds().last
    insert_events(run.database_url, run.user_id, count - 1)
    insert_events(run.database_url, run.user_id, 1, text=END.decode())
    publish_all(run.redis_url)

    async def listen() -> int:
        (listener,) = await open_sockets(run.port, 1, f"/ws?since={since}", run.token)
        await listener.end
        listener.transport.close()
        return listener.received

    proc = Path(f"/proc/{run.web.pid}")
    (proc / "clear_refs").write_text("5", encoding="ascii")  # From now on VmHWM is the highest memory since now.
    before = run.web.memory_info().rss
    start = time.perf_counter()
    received: int = run_loop(listen())
    seconds = time.perf_counter() - start
    highest = int((proc / "status").read_text(encoding="ascii").partition("VmHWM:")[2].split()[0]) * 1024
    return {
        "events": count,
        "events_per_s": count / seconds,
        "received_mb": received / 2**20,
        "more_memory_mb": (highest - before) / 2**20,
    }


def main() -> None:
    """Run the parts and print a table; with --json also write the figures into a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="the file for the figures")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long the latency is measured")
    parser.add_argument("--rounds", type=int, default=3, help="how often the fan-out is measured")
    parser.add_argument("--sockets", type=int, default=10_000, help="how many idle sockets are opened")
    parser.add_argument("--replayed", type=int, default=100_000, help="how many missed events are read")
    parser.add_argument("parts", nargs="*", help="latency, backlog, fan-out, idle, replay; all if none is given")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    parts: dict[str, Callable[[System], dict[str, float]]] = {
        "latency": lambda run: latency(run, options.seconds),
        "backlog": backlog,
        "fan-out": lambda run: fan_out(run, options.rounds),
        "idle": lambda run: idle(run, options.sockets),
        "replay": lambda run: replay(run, options.replayed),
    }
    results = {}
    with system() as run:
        for name in options.parts or parts:
            results[name] = parts[name](run)
            print(f"{name:9}", "  ".join(f"{key} {value:,.1f}" for key, value in results[name].items()), flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
