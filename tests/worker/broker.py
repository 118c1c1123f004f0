"""What the worker's jobs put into the queues of the broker."""

from typing import Any, Final

import orjson
from redis import Redis

# With these transport options a broker that cannot be reached is noticed at once.
NO_PATIENCE: Final = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}


def messages(redis: Redis, queue: str) -> list[dict[str, Any]]:
    """The messages that wait in a queue, the oldest first."""
    raw: Any = redis.lrange(queue, 0, -1)
    return [orjson.loads(message) for message in reversed(raw)]


def job_names(redis: Redis, queue: str) -> list[str]:
    """The names of the jobs that wait in a queue."""
    return [message["headers"]["task"] for message in messages(redis, queue)]
