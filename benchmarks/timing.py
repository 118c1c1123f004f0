"""What the comparisons of response times share: a server with known accounts, and the medians of kinds of requests."""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from benchmarks.run import KEY, free_port, server
from core import db
from core.local.embedded.servers import EmbeddedPostgres, EmbeddedRedis
from core.migrations import migrate

ROUNDS = 60
BCRYPT_ROUNDS = 12


@contextmanager
def api(seed: Callable[[], object]) -> Iterator[str]:
    """Run the API with a database that `seed` has filled; yields its address."""
    with (
        tempfile.TemporaryDirectory(prefix="allweather-bench-") as directory,
        EmbeddedPostgres(Path(directory) / "postgres") as postgres,
        EmbeddedRedis(Path(directory) / "redis") as redis,
    ):
        migrate(postgres.url)
        db.configure(postgres.url, application="bench", statement_seconds=30)
        seed()
        port = free_port()
        environ = {
            "DATABASE_URL": postgres.url,
            "REDIS_URL": redis.url,
            "SECRET_KEY": KEY,
            "PORT": str(port),
            "LOG_FILE": "",
            "BCRYPT_ROUNDS": str(BCRYPT_ROUNDS),
            "RATE_LIMIT_CREDENTIALS": "100000/minute",
        }
        with server([sys.executable, "-m", "api"], port, os.environ | environ):
            yield f"http://127.0.0.1:{port}"


def compare(address: str, bodies: Mapping[str, Callable[[int], dict[str, Any]]], status: int) -> None:
    """Send a body of each kind in each round, alternately, and print the median time of each kind.

    Raises:
        SystemExit: if a response does not have this status.
    """
    seconds: dict[str, list[float]] = {kind: [] for kind in bodies}
    session = requests.Session()
    for number in range(ROUNDS):
        for kind, body in bodies.items():
            started = time.perf_counter()
            response = session.post(address, json=body(number), timeout=30)
            seconds[kind].append(time.perf_counter() - started)
            if response.status_code != status:
                raise SystemExit(response.text)
    medians = {kind: statistics.median(taken) * 1000 for kind, taken in seconds.items()}
    for kind, median in medians.items():
        print(f"{kind:10}{median:8.1f} ms")
    print(f"{'difference':10}{max(medians.values()) - min(medians.values()):8.1f} ms")
