"""The patch that keeps a worker alive through a restart of Redis."""

import pytest
from kombu import Connection
from kombu.transport.redis import Channel
from redis.exceptions import ConnectionError as RedisConnectionError

from worker import kombu_patch


def test_a_closed_connection_is_a_connection_error_which_kombu_reconnects_upon(redis_url: str) -> None:
    kombu_patch.apply()
    with Connection(redis_url) as connection:
        channel = connection.channel()
        channel.connection.client = None

        with pytest.raises(RedisConnectionError):
            channel._connparams()  # noqa: SLF001 - this is what is patched.

        assert RedisConnectionError in connection.connection_errors


def test_an_open_connection_is_left_alone(redis_url: str) -> None:
    kombu_patch.apply()
    with Connection(redis_url) as connection:
        channel: Channel = connection.channel()

        assert channel._connparams()["host"] == "127.0.0.1"  # noqa: SLF001 - this is what is patched.
