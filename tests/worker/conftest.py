"""Jobs run in this process, on the run's servers; what they send is looked up in Redis."""

from typing import Any, Final

import orjson
import pytest
from redis import Redis

# Transport options with which a broker that is away is noticed at once.
NO_PATIENCE: Final = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}


@pytest.fixture(autouse=True)
def _clean(database: None, environ: dict[str, str]) -> None:
    """Every test of the worker begins without rows, and with the environment that the worker's modules read."""


def messages(redis: Redis, queue: str) -> list[dict[str, Any]]:
    """The messages that wait in a queue, the oldest first."""
    raw: Any = redis.lrange(queue, 0, -1)
    return [orjson.loads(message) for message in reversed(raw)]


def names(redis: Redis, queue: str) -> list[str]:
    """The names of the jobs that wait in a queue."""
    return [message["headers"]["task"] for message in messages(redis, queue)]
