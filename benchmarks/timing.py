"""What the comparisons of response times share: a server with known accounts, and the medians of kinds of requests."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import requests

from benchmarks.stack import new_stack

ROUNDS = 60
BCRYPT_ROUNDS = 12


@contextmanager
def api(seed: Callable[[], object]) -> Iterator[str]:
    """Run the API with a database that `seed` has filled; yields its address."""
    with new_stack() as stack:
        seed()
        with stack.api(BCRYPT_ROUNDS=str(BCRYPT_ROUNDS)) as server:
            yield f"http://127.0.0.1:{server.port}"


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
