"""Compare the API with a peer and with its own GET /health, and print the ratios. See README.md in this directory."""

import argparse
import logging
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from pathlib import Path

import jwt
import structlog

from benchmarks.load import Request, requests_per_second
from core import db
from core.local.embedded.servers import EmbeddedPostgres, EmbeddedRedis
from core.migrations import migrate
from core.policy import Actor, Role
from core.security import TokenIssuer
from core.services import accounts, sessions, tasks
from core.services.sessions import Client

KEY = "a key for the benchmark alone, of sufficient length"
TASKS = 100
CREATE = b'{"title": "Clean the gutters", "description": "Before the rain comes."}'


@contextmanager
def server(command: list[str], port: int, environ: dict[str, str]) -> Iterator[int]:
    process = subprocess.Popen(command, env=os.environ | environ, stdout=subprocess.DEVNULL)  # noqa: S603 - the commands are our own.
    try:
        _wait_for(port)
        yield port
    finally:
        process.terminate()
        process.wait()


def _wait_for(port: int, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def free_port() -> int:
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _seed(database_url: str) -> tuple[Actor, int]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    db.configure(database_url, application="bench", statement_seconds=30)
    profile = accounts.register(username="bench", email=None, full_name=None, password_hash="-")  # noqa: S106 - not a hash.
    session = sessions.open_session(profile.id, Client("127.0.0.1", None), timedelta(days=1))
    actor = Actor(profile.id, Role.USER, session.session_id)
    task_id = 0
    for number in range(TASKS):
        fields = {"title": f"Task {number}", "description": "Before the rain comes."}
        task_id = tasks.create_task(actor, fields, TASKS).id
    return actor, task_id


def main() -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-python", type=Path, required=True, help="a Python that has requirements.txt installed")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()

    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="allweather-bench-")))
        postgres = stack.enter_context(EmbeddedPostgres(directory / "postgres"))
        redis = stack.enter_context(EmbeddedRedis(directory / "redis"))
        migrate(postgres.url)
        actor, task_id = _seed(postgres.url)
        ours, peers = free_port(), free_port()
        environ = {
            "APP_ENV": "production",
            "DATABASE_URL": postgres.url,
            "REDIS_URL": redis.url,
            "SECRET_KEY": KEY,
            "PORT": str(ours),
            "LOG_FILE": str(directory / "app.log"),
            "RATE_LIMIT": "100000000/minute",
            "RATE_LIMIT_HEALTH": "100000000/minute",
            "PEER_KEY": KEY,
            "PEER_DATABASE_URL": postgres.url.replace("postgresql://", "postgresql+asyncpg://"),
        }
        stack.enter_context(server([sys.executable, "-m", "api"], ours, environ))
        uvicorn = [str(options.peer_python), "-m", "uvicorn", "benchmarks.peer:app", "--no-access-log"]
        stack.enter_context(server([*uvicorn, "--port", str(peers)], peers, environ))
        own_token = TokenIssuer(KEY, 86_400).access_token(actor.user_id, actor.session_id)
        peer_token = jwt.encode({"sub": str(actor.user_id), "exp": int(time.time()) + 86_400}, KEY)
        cases = {
            "GET a task": (Request("GET", f"/api/v1/tasks/{task_id}", own_token), f"/tasks/{task_id}", b""),
            "list 20 + count": (Request("GET", "/api/v1/tasks?limit=20", own_token), "/tasks?limit=20", b""),
            "POST a task": (Request("POST", "/api/v1/tasks", own_token, CREATE), "/tasks", CREATE),
        }
        ceiling = Request("GET", "/health", own_token)
        print(f"{'':18}{'allweather':>12}{'peer':>10}{'ratio':>8}{'ceiling':>10}{'share':>8}")
        for name, (own, peer_path, body) in cases.items():
            peer = Request(own.method, peer_path, peer_token, body)
            rounds = [
                (
                    requests_per_second(ours, own, seconds=options.seconds),
                    requests_per_second(peers, peer, seconds=options.seconds),
                    requests_per_second(ours, ceiling, seconds=options.seconds),
                )
                for _ in range(options.rounds)
            ]
            a, b, c = (statistics.median(column) for column in zip(*rounds, strict=True))
            ratio = statistics.median(own_rate / peer_rate for own_rate, peer_rate, _ in rounds)
            print(f"{name:18}{a:12.0f}{b:10.0f}{ratio:8.2f}{c:10.0f}{a / c:8.2f}")


if __name__ == "__main__":
    main()
