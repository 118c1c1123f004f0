"""The patch with which a worker keeps running when Redis restarts."""

import pytest
from kombu import Connection
from kombu.transport.redis import Channel
from redis.exceptions import ConnectionError as RedisConnectionError

from worker import kombu_patch


def test_a_closed_connection_raises_an_error_after_which_kombu_reconnects(redis_url: str) -> None:
    kombu_patch.apply()
    with Connection(redis_url) as connection:
        channel = connection.channel()
        channel.connection.client = None

        with pytest.raises(RedisConnectionError):
            channel._connparams()  # noqa: SLF001 - the patch replaces this method.

        assert RedisConnectionError in connection.connection_errors


def test_an_open_connection_is_not_affected(redis_url: str) -> None:
    kombu_patch.apply()
    with Connection(redis_url) as connection:
        channel: Channel = connection.channel()

        assert channel._connparams()["host"] == "127.0.0.1"  # noqa: SLF001 - the patch replaces this method.
