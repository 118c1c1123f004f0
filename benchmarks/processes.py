"""Measure the rates of 1, 2 and 4 web processes behind one port. See README.md in this directory."""

import argparse
import multiprocessing
import os
import statistics
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import psutil  # type: ignore[import-untyped]  # - the package ships no types

from benchmarks.load import Request, requests_per_second
from benchmarks.run import CREATE, KEY, _seed, free_port, server
from core.local.embedded.servers import EmbeddedPostgres, EmbeddedRedis
from core.migrations import migrate
from core.security import TokenIssuer

COUNTS: Final = (1, 2, 4)
GENERATORS: Final = 2
CONNECTIONS_EACH: Final = 32


def _cpu_seconds(port: int) -> float:
    """Return the CPU time of all processes of the server that has this port."""
    total = 0.0
    for child in psutil.Process().children():
        if "api" in child.cmdline() and child.environ()["PORT"] == str(port):
            for process in (child, *child.children()):
                used = process.cpu_times()
                total += used.user + used.system
    return total


def _measured(generators: ProcessPoolExecutor, port: int, request: Request, seconds: float) -> tuple[float, float]:
    """Return the requests per second of all generators together, and the server's CPU time for each in seconds."""
    before = _cpu_seconds(port)
    running = [
        generators.submit(requests_per_second, port, request, connections=CONNECTIONS_EACH, seconds=seconds)
        for _ in range(GENERATORS)
    ]
    rate = sum(result.result() for result in running)
    return rate, (_cpu_seconds(port) - before) / (rate * seconds)


def main() -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="allweather-bench-")))
        postgres = stack.enter_context(EmbeddedPostgres(directory / "postgres"))
        redis = stack.enter_context(EmbeddedRedis(directory / "redis"))
        spawn = multiprocessing.get_context("spawn")
        generators = stack.enter_context(ProcessPoolExecutor(GENERATORS, mp_context=spawn))
        migrate(postgres.url)
        actor, task_id = _seed(postgres.url)
        ports = {count: free_port() for count in COUNTS}
        for count, port in ports.items():
            environ = {
                "DATABASE_URL": postgres.url,
                "REDIS_URL": redis.url,
                "SECRET_KEY": KEY,
                "PORT": str(port),
                "WEB_CONCURRENCY": str(count),
                "DATABASE_THREADS": "8",
                "LOG_FILE": str(directory / f"{count}.log"),
                "RATE_LIMIT": "100000000/minute",
                "TASKS_PER_USER": "100000000",
            }
            stack.enter_context(server([sys.executable, "-m", "api"], port, environ))
        token = TokenIssuer(KEY, 86_400).access_token(actor.user_id, actor.session_id)
        cases = {
            "read a task": Request("GET", f"/api/v1/tasks/{task_id}", token),
            "create a task": Request("POST", "/api/v1/tasks", token, CREATE),
        }
        cores = len(os.sched_getaffinity(0))
        connections = GENERATORS * CONNECTIONS_EACH
        print(f"{cores} cores for everything, {connections} connections from {GENERATORS} processes")
        print(f"{'':16}{'processes':>10}{'requests/s':>12}{'CPU each':>12}")
        for name, request in cases.items():
            rounds = [
                {count: _measured(generators, port, request, options.seconds) for count, port in ports.items()}
                for _ in range(options.rounds)
            ]
            for count in COUNTS:
                rate, cpu = (statistics.median(figures[count][part] for figures in rounds) for part in (0, 1))
                print(f"{name:16}{count:10}{rate:12.0f}{cpu * 1e6:9.0f} µs")


if __name__ == "__main__":
    main()
