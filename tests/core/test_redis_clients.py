"""Clients of Redis over a failover of real sentinels."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection
from redis.exceptions import RedisError

from core import redis_clients
from tests.polling import wait_until
from tests.redis_sentinels import Replicated, replicated

TIMES = {"socket_timeout": 1, "socket_connect_timeout": 1}


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Replicated]:
    with replicated(tmp_path) as running:
        yield running


def test_after_a_failover_clients_and_the_broker_use_the_new_primary(servers: Replicated) -> None:
    broker_url, options = redis_clients.broker_settings(servers.url)
    with (
        redis_clients.connect(servers.url, **TIMES) as client,
        Connection(broker_url, transport_options=options | TIMES) as broker,
    ):
        client.set("written", "before")
        broker.SimpleQueue("jobs").put("before")
        assert client.wait(1, 5000) == 1

        servers.kill_primary()

        def write() -> bool:
            with suppress(RedisError):
                return bool(client.set("written", "after"))
            return False

        wait_until(write)
        broker.ensure_connection(max_retries=5, interval_step=0.2)
        wait_until(lambda: sent(broker, "after"))
        assert [broker.SimpleQueue("jobs").get(timeout=5).payload for _ in range(2)] == ["before", "after"]
    with servers.server(servers.replica_port) as primary:
        assert primary.get("written") == b"after"


def sent(broker: Connection, message: str) -> bool:
    with suppress(*broker.recoverable_connection_errors):
        broker.SimpleQueue("jobs").put(message)
        return True
    return False


def test_a_caller_with_little_time_reaches_the_sentinel_that_answers(servers: Replicated) -> None:
    frozen, *_ = servers.sentinel_ports
    servers.freeze(frozen)
    url = servers.url_with([f"127.0.0.1:{port}" for port in servers.sentinel_ports])

    async def ping() -> list[Any]:
        client = redis_clients.connect_async(url, **TIMES)
        try:
            return [await outcome(client.ping()) for _ in range(2)]
        finally:
            await client.aclose()

    async def outcome(call: Any) -> Any:
        try:
            # This is less than a sentinel gets to answer.
            return await asyncio.wait_for(call, 0.15)
        except TimeoutError:
            return "too late"

    assert asyncio.run(ping()) == ["too late", True]
