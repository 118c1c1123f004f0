"""Read the messages in the queues of the broker."""

from typing import Any, Final

import orjson
from redis import Redis

# With these transport options, sending to an unreachable broker fails immediately.
FAIL_FAST: Final = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}


def messages(redis: Redis, queue: str) -> list[dict[str, Any]]:
    """Return the messages in a queue, oldest first."""
    raw: Any = redis.lrange(queue, 0, -1)
    return [orjson.loads(message) for message in reversed(raw)]


def job_names(redis: Redis, queue: str) -> list[str]:
    """Return the names of the jobs in a queue, oldest first."""
    return [message["headers"]["task"] for message in messages(redis, queue)]
