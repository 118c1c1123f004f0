"""The queries of the relay and its end, with a fake Redis and a fake database."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.exceptions import RedisError

from api.http.threads import Bridge
from api.realtime import relay as relay_module
from api.realtime.hub import Listener
from api.realtime.relay import Relay
from core.config import Settings
from core.events import Bounds, bounds, read_missed
from core.policy import Actor, Role

ALICE = Actor(10, Role.USER, 1)


class EmptyLogBridge(Bridge):
    """A bridge to a database whose event log is empty; it remembers which functions read it."""

    def __init__(self) -> None:
        super().__init__(database_threads=1, database_seconds=10, password_threads=1)
        self.functions: list[Callable[..., Any]] = []

    async def run(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        self.functions.append(function)
        await asyncio.sleep(0)
        return Bounds(last=0, oldest=1) if function is bounds else []


class SwallowingRedis:
    """A Redis without events, whose first read loses its cancellation, as `asyncio.wait_for` can in Python 3.11."""

    def __init__(self) -> None:
        self.reads = 0
        self.is_read = asyncio.Event()
        self.is_closed = False
        self.options: dict[str, Any] = {}
        self.read_options: dict[str, Any] = {}

    async def xrevrange(self, *_: Any, **__: Any) -> list[Any]:
        return []

    async def xread(self, *_: Any, **options: Any) -> list[Any]:
        self.reads += 1
        self.read_options = options
        self.is_read.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if self.reads > 1:
                raise
        return []

    async def aclose(self) -> None:
        self.is_closed = True
        raise RedisError


@asynccontextmanager
async def running_relay(
    monkeypatch: pytest.MonkeyPatch, bridge: Bridge, redis: SwallowingRedis
) -> AsyncIterator[Relay]:
    """A relay that has read the event log and then waits for Redis; it is stopped at the end."""

    def connect(_url: str, **options: Any) -> SwallowingRedis:
        redis.options = options
        return redis

    monkeypatch.setattr("api.realtime.relay.Redis.from_url", connect)
    settings = Settings(secret_key="x" * 32, database_url="-", redis_url="-", session_cache_seconds=0)
    relay = Relay(settings, bridge, authenticator=None)  # type: ignore[arg-type]  # It is not used without events.
    relay.start()
    async with asyncio.timeout(10):
        await redis.is_read.wait()
    yield relay
    async with asyncio.timeout(10):
        await relay.stop()


def test_the_relay_stops_even_if_its_cancellation_gets_lost_and_redis_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    async def start_and_stop() -> None:
        redis = SwallowingRedis()
        async with running_relay(monkeypatch, EmptyLogBridge(), redis):
            pass
        assert redis.reads == 1
        assert redis.is_closed
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(start_and_stop())


def test_a_read_waits_for_few_events_and_ends_before_the_connection_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def read() -> None:
        redis = SwallowingRedis()
        async with running_relay(monkeypatch, EmptyLogBridge(), redis):
            assert 0 < redis.read_options["block"] < redis.options["socket_timeout"] * 1000
            assert 0 < redis.read_options["count"] <= 1000

    asyncio.run(read())


def test_a_listener_that_has_missed_nothing_costs_two_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    async def listen() -> None:
        bridge, frames = EmptyLogBridge(), []

        async def send(frame: str) -> None:
            frames.append(frame)

        async with running_relay(monkeypatch, bridge, SwallowingRedis()) as relay:
            assert bridge.functions == [bounds]
            listener = Listener(ALICE, queue_frames=10)
            async with asyncio.timeout(10):
                await relay.welcome(listener, since=0, send=send)
            assert listener.after == 0
            assert bridge.functions == [bounds, bounds, read_missed]
        assert len(frames) == 1

    asyncio.run(listen())


def test_without_sockets_no_session_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "_LEAST_CHECK_SECONDS", 0.0)

    async def look_up() -> None:
        bridge = EmptyLogBridge()
        async with running_relay(monkeypatch, bridge, SwallowingRedis()) as relay:
            looked_for_sockets = asyncio.Event()
            checks = iter([lambda: None, lambda: None, looked_for_sockets.set])

            def no_sessions() -> set[int]:
                next(checks, looked_for_sockets.set)()
                return set()

            monkeypatch.setattr(relay.hub, "session_ids", no_sessions)
            async with asyncio.timeout(10):
                await looked_for_sockets.wait()
            assert bridge.functions == [bounds]

    asyncio.run(look_up())
