"""The tasks of the relay, with a fake Redis and a fake database."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from api.http.threads import Bridge
from api.realtime.hub import CloseCode, Listener
from api.realtime.relay import Relay
from core.config import Settings
from core.events import Bounds
from core.policy import Actor, Role
from core.services.sessions import session_actors


class EmptyLogBridge(Bridge):
    """A bridge to a database whose event log is empty."""

    async def run(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return Bounds(last=0, oldest=1)


class SwallowingRedis:
    """A Redis without events, whose first read loses its cancellation, as `asyncio.wait_for` can in Python 3.11."""

    def __init__(self) -> None:
        self.reads = 0
        self.is_read = asyncio.Event()

    async def xrevrange(self, *_: Any, **__: Any) -> list[Any]:
        return []

    async def xread(self, *_: Any, **__: Any) -> list[Any]:
        self.reads += 1
        self.is_read.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if self.reads > 1:
                raise
        return []

    async def aclose(self) -> None:
        pass


def test_the_relay_stops_even_if_its_cancellation_gets_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    async def start_and_stop() -> int:
        redis = SwallowingRedis()
        monkeypatch.setattr("api.realtime.relay.Redis.from_url", lambda *_, **__: redis)
        settings = Settings(secret_key="x" * 32, database_url="-", redis_url="-")
        bridge = EmptyLogBridge(database_threads=1, database_seconds=10, password_threads=1)
        relay = Relay(settings, bridge, authenticator=None)  # type: ignore[arg-type]  # It is not used without events.
        relay.start()
        await redis.is_read.wait()
        async with asyncio.timeout(10):
            await relay.stop()
        return redis.reads

    assert asyncio.run(start_and_stop()) == 1


class FailingBridge(EmptyLogBridge):
    """A bridge on which the first look-up of sessions fails as nobody expects."""

    look_ups = 0

    async def run(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        if function is not session_actors:
            return await super().run(function, *args, **kwargs)
        self.look_ups += 1
        if self.look_ups == 1:
            raise LookupError
        return {}


def test_sessions_are_looked_up_again_after_an_unexpected_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.realtime.relay._LEAST_CHECK_SECONDS", 0.01)

    async def wait_for_the_end_of_a_session() -> CloseCode:
        monkeypatch.setattr("api.realtime.relay.Redis.from_url", lambda *_, **__: SwallowingRedis())
        settings = Settings(secret_key="x" * 32, database_url="-", redis_url="-", session_cache_seconds=0.01)
        bridge = FailingBridge(database_threads=1, database_seconds=10, password_threads=1)
        relay = Relay(settings, bridge, authenticator=None)  # type: ignore[arg-type]  # It is not used without events.
        listener = Listener(Actor(1, Role.USER, 1), 10)
        relay.hub.admit(listener)
        relay.start()
        try:
            return await asyncio.wait_for(listener.ended, 10)
        finally:
            await relay.stop()

    with capture_logs() as lines:
        code = asyncio.run(wait_for_the_end_of_a_session())

    assert code is CloseCode.SESSION_ENDED
    assert [line["event"] for line in lines] == ["session_check_failed"]
