"""A web process while Redis Sentinel replaces the primary."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError
from websockets.sync.client import connect

from api.app import create_app
from core import redis_clients
from core.config import Settings
from core.policy import Actor
from core.security import TokenIssuer
from tests.api.callers import Caller, LiveServer, callers_of
from tests.api.realtime import next_frame, publish
from tests.builders import create_task
from tests.polling import wait_until
from tests.redis_sentinels import Replicated, replicated


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Replicated]:
    with replicated(tmp_path) as running:
        yield running


def test_after_a_failover_events_arrive_and_requests_are_counted_at_the_new_primary(
    servers: Replicated, settings: Settings, issuer: TokenIssuer, alice: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.http.request_counters._PAUSE_SECONDS", 0.1)
    changes = {"redis_url": type(settings.redis_url)(servers.url), "rate_limit": "1000/hour"}
    with (
        LiveServer(create_app(settings.model_copy(update=changes))) as server,
        redis_clients.connect(servers.url, socket_timeout=1) as redis,
    ):
        as_alice = callers_of(server, issuer)(alice)
        socket_url = f"ws://127.0.0.1:{server.port}/ws"
        with connect(socket_url, additional_headers={"Authorization": f"Bearer {as_alice.token}"}) as listener:
            assert next_frame(listener)["type"] == "ready"
            before = create_task(alice, title="Before")
            publish(redis)
            assert next_frame(listener)["task_id"] == before
            wait_until(lambda: state_of_redis(as_alice) == "ok")

            servers.kill_primary()

            after = create_task(alice, title="After")
            wait_until(lambda: published(redis))
            assert next_frame(listener)["task_id"] == after
            wait_until(lambda: state_of_redis(as_alice) == "ok")
        with servers.server(servers.replica_port) as primary:
            primary.flushdb()
            wait_until(lambda: as_alice.get("/api/v1/tasks").ok and list(primary.scan_iter("allweather:limit*")))


def published(redis: "Redis[bytes]") -> bool:
    with suppress(RedisError):
        publish(redis)
        return True
    return False


def state_of_redis(caller: Caller) -> object:
    return caller.get("/health/ready").json()["dependencies"]["redis"]
