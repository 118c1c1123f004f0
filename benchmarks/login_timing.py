"""Compare how long login takes to refuse an unknown name and a wrong password. See README.md in this directory."""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import requests

from benchmarks.stack import KEY, free_port, server
from core import db
from core.local.embedded.servers import EmbeddedPostgres, EmbeddedRedis
from core.migrations import migrate
from core.security import hash_password
from core.services import accounts

ROUNDS = 60
BCRYPT_ROUNDS = 12


def main() -> None:
    """Log in with known and unknown names alternately, each name once, and print the median times."""
    with (
        tempfile.TemporaryDirectory(prefix="allweather-bench-") as directory,
        EmbeddedPostgres(Path(directory) / "postgres") as postgres,
        EmbeddedRedis(Path(directory) / "redis") as redis,
    ):
        migrate(postgres.url)
        db.configure(postgres.url, application="bench", statement_seconds=30)
        password_hash = hash_password("a password of the benchmark", BCRYPT_ROUNDS)
        for number in range(ROUNDS):
            accounts.register(username=f"known{number}", email=None, full_name=None, password_hash=password_hash)
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
            seconds: dict[str, list[float]] = {"known": [], "unknown": []}
            session = requests.Session()
            for number in range(ROUNDS):
                for kind, taken in seconds.items():
                    body = {"username": f"{kind}{number}", "password": "a wrong guess"}
                    started = time.perf_counter()
                    response = session.post(f"http://127.0.0.1:{port}/auth/login", json=body, timeout=30)
                    taken.append(time.perf_counter() - started)
                    if response.status_code != requests.codes.unauthorized:
                        raise SystemExit(response.text)
    medians = {kind: statistics.median(taken) * 1000 for kind, taken in seconds.items()}
    for kind, median in medians.items():
        print(f"{kind:10}{median:8.1f} ms")
    print(f"{'difference':10}{abs(medians['known'] - medians['unknown']):8.1f} ms")


if __name__ == "__main__":
    main()
