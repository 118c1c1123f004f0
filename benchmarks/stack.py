"""What the parts of the benchmarks share: an own PostgreSQL and Redis, accounts with tasks, and server processes."""

import logging
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import jwt
import psutil
import psycopg2
import structlog

from core import db
from core.local.embedded.servers import DATABASE, ROLE, EmbeddedPostgres, EmbeddedRedis
from core.migrations import migrate
from core.policy import Actor, Role
from core.security import TokenIssuer
from core.services import accounts, analytics, sessions
from core.services.sessions import Client

KEY: Final = "a key for the benchmark alone, of sufficient length"
_TOKEN_SECONDS: Final = 86_400
_START_SECONDS: Final = 30.0
_NO_LIMIT: Final = "100000000/minute"
_WORKER_PROCESSES: Final = 4
_WORKER: Final = (
    f"--quiet --app worker.app worker --concurrency {_WORKER_PROCESSES} --queues events,weather,mail,maintenance"
    " --without-gossip --without-mingle"
)

# One day of tasks, a second apart. The trigger of the table counts them for analytics.
_ADD_TASKS: Final = """
INSERT INTO tasks (title, description, user_id, created_at, updated_at)
SELECT 'Task ' || number, 'Before the rain comes.', %(user_id)s, made, made
FROM generate_series(1, %(tasks)s) number, LATERAL (SELECT now() - make_interval(secs => number) AS made) moment
"""


@dataclass(frozen=True)
class Server:
    """A running server on a port of this machine."""

    port: int
    process_id: int

    def cpu_seconds(self) -> float:
        """Return the CPU time that the process and its child processes have used."""
        return cpu_seconds(self.process_id)


@dataclass(frozen=True)
class User:
    """An account of the benchmark, with a token for the API, and one for a peer, which has no sessions."""

    actor: Actor
    token: str
    peer_token: str


@dataclass(frozen=True)
class Stack:
    """PostgreSQL, with all migrations, and Redis, both empty, durable, and for one part only."""

    directory: Path
    database_url: str
    redis_url: str
    postgres_process: int

    @contextmanager
    def api(self, **environ: str) -> Iterator[Server]:
        """Run the API with these further settings. No request is refused because of a rate limit."""
        port = free_port()
        settings = self._settings(f"{port}.log") | {
            "PORT": str(port),
            "RATE_LIMIT": _NO_LIMIT,
            "WEB_STAYS_ON_CORE": "true",
            "RATE_LIMIT_HEALTH": _NO_LIMIT,
            "RATE_LIMIT_CREDENTIALS": _NO_LIMIT,
        }
        with server([sys.executable, "-m", "api"], port, settings | environ) as running:
            yield running

    @contextmanager
    def peer(self, python: Path, application: str) -> Iterator[Server]:
        """Run another application, such as `benchmarks.peer:app`, as one process of uvicorn with this Python."""
        port = free_port()
        environ = {
            "PEER_KEY": KEY,
            "PEER_DATABASE_URL": self.database_url.replace("postgresql://", "postgresql+asyncpg://"),
            "PEER_REDIS_URL": self.redis_url,
            "PEER_LOG_FILE": str(self.directory / f"{port}.log"),
        }
        options = ["--no-access-log", "--log-level", "warning", "--port", str(port)]
        with server([str(python), "-m", "uvicorn", application, *options], port, environ) as running:
            yield running

    @contextmanager
    def worker(self, **environ: str) -> Iterator[int]:
        """Run a worker for all queues, with these further settings; yields the id of its process."""
        command = [sys.executable, "-m", "celery", *_WORKER.split()]

        def has_processes(process_id: int) -> bool:
            return len(psutil.Process(process_id).children()) >= _WORKER_PROCESSES

        with _running(command, self._settings("worker.log") | environ, has_processes) as process_id:
            yield process_id

    def _settings(self, log: str) -> dict[str, str]:
        return {
            "APP_ENV": "production",
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "SECRET_KEY": KEY,
            "LOG_FILE": str(self.directory / log),
        }

    def new_database(self, name: str) -> str:
        """Make another database in the same PostgreSQL, with all migrations; returns its URL."""
        of_superuser = self.database_url.replace(f"//{ROLE}@/{DATABASE}?", "//postgres@/postgres?")
        with closing(psycopg2.connect(of_superuser)) as connection:
            connection.autocommit = True  # PostgreSQL makes no database in a transaction.
            connection.cursor().execute(f"CREATE DATABASE {name} OWNER {ROLE}")
        url = self.database_url.replace(f"/{DATABASE}?", f"/{name}?")
        migrate(url)
        return url

    def add_user(self, name: str, tasks: int = 0) -> User:
        """Add an account that owns this many tasks, and nothing else."""
        profile = accounts.register(username=name, email=None, full_name=None, password_hash="-")  # noqa: S106 - not a hash.
        session = sessions.open_session(profile.id, Client("127.0.0.1", None), timedelta(days=1))
        with db.unit_of_work():
            db.write(_ADD_TASKS, {"user_id": profile.id, "tasks": tasks})
        analytics.rebuild()
        # Statistics of an empty table would make PostgreSQL plan to read all of it, also when it has grown.
        if tasks:
            with db.unit_of_work():
                db.write("ANALYZE tasks")
        actor = Actor(profile.id, Role.USER, session.session_id)
        peer_token = jwt.encode({"sub": str(profile.id), "exp": int(time.time()) + _TOKEN_SECONDS}, KEY)
        return User(actor, TokenIssuer(KEY, _TOKEN_SECONDS).access_token(profile.id, session.session_id), peer_token)

    def database_cpu_seconds(self) -> float:
        """Return the CPU time that all processes of PostgreSQL have used."""
        return cpu_seconds(self.postgres_process)


@contextmanager
def new_stack() -> Iterator[Stack]:
    """Start PostgreSQL and Redis in a new directory, and remove everything at the end."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with (
        tempfile.TemporaryDirectory(prefix="allweather-bench-") as name,
        EmbeddedPostgres(Path(name) / "postgres") as postgres,
        EmbeddedRedis(Path(name) / "redis") as redis,
    ):
        migrate(postgres.url)
        db.configure(postgres.url, application="bench", statement_seconds=600)
        process_id = int((Path(name) / "postgres" / "server").read_text(encoding="utf-8"))
        try:
            yield Stack(Path(name), postgres.url, redis.url, process_id)
        finally:
            db.disconnect()


@contextmanager
def server(command: list[str], port: int, environ: dict[str, str]) -> Iterator[Server]:
    """Run a server, wait until its port accepts connections, and stop it at the end.

    Raises:
        RuntimeError: if it ends at once.
    """
    with _running(command, environ, lambda _process_id: _listens(port)) as process_id:
        yield Server(port, process_id)


@contextmanager
def _running(command: list[str], environ: dict[str, str], is_ready: Callable[[int], bool]) -> Iterator[int]:
    """Run a process, wait until it is ready, and stop it at the end; yields its id."""
    process = subprocess.Popen(command, env=os.environ | environ, stdout=subprocess.DEVNULL)  # noqa: S603 - the commands are our own.
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not is_ready(process.pid):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command!r} did not start.")
            time.sleep(0.05)
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def free_port() -> int:
    """Return a port of this machine on which no process listens."""
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def cpu_seconds(process_id: int) -> float:
    """Return the CPU time that a process and all its child processes have used, also those that have ended."""
    root = psutil.Process(process_id)
    ended = root.cpu_times()
    total = ended.children_user + ended.children_system
    for process in (root, *root.children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return float(total)
