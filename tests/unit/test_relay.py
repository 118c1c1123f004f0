"""The queries of the relay and its end, with a fake Redis and a fake database."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import replace
from typing import Any

import pytest
from redis.exceptions import RedisError
from structlog.testing import capture_logs

from api.http.threads import Bridge
from api.realtime import relay as relay_module
from api.realtime.hub import CloseCode, Listener
from api.realtime.relay import Relay
from core.config import Settings
from core.events import STREAM_KEY, Bounds, Event, bounds, read_missed, read_since
from core.policy import Actor, Role
from core.services.publication import stream_entry
from core.services.sessions import session_actors

ALICE = Actor(10, Role.USER, 1)
LOG = [Event(number, "task.reminder", None, None, (), "", None, "{}") for number in (1, 2, 3)]


class EmptyLogBridge(Bridge):
    """A bridge to a database whose event log is empty; it remembers which functions read it."""

    def __init__(self) -> None:
        super().__init__(database_threads=1, database_seconds=10, password_threads=1)
        self.functions: list[Callable[..., Any]] = []

    async def run(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        self.functions.append(function)
        await asyncio.sleep(0)
        return Bounds(last=0, oldest=1) if function is bounds else []


class LongLogBridge(EmptyLogBridge):
    """A bridge to an event log that got three events after the start; the first read of them loses its cancellation."""

    def __init__(self) -> None:
        super().__init__()
        self.is_read = asyncio.Event()

    async def run(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        await super().run(function, *args, **kwargs)
        if function is bounds:
            return Bounds(last=3 if self.functions.count(bounds) > 1 else 0, oldest=1)
        position, _ = args
        if position == 0:
            self.is_read.set()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        return LOG[position : position + 1]


class SwallowingRedis:
    """A Redis whose first read loses its cancellation, as `asyncio.wait_for` can in Python 3.11."""

    def __init__(self, newest: list[Any] | None = None) -> None:
        self.newest = newest or []
        self.reads = 0
        self.is_read = asyncio.Event()
        self.is_closed = False
        self.options: dict[str, Any] = {}
        self.read_options: dict[str, Any] = {}

    async def xrevrange(self, _key: str, *, count: int) -> list[Any]:
        assert count == 1, "the whole stream would be read"
        return self.newest

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


@contextlib.asynccontextmanager
async def running_relay(
    monkeypatch: pytest.MonkeyPatch,
    bridge: Bridge,
    redis: SwallowingRedis,
    *,
    listeners: Collection[Listener] = (),
    has_come: asyncio.Event | None = None,
) -> AsyncIterator[Relay]:
    """A relay that has read the event log and waits for Redis, or has come as far as `has_come`; it is stopped then."""

    def connect(_url: str, **options: Any) -> SwallowingRedis:
        redis.options = options
        return redis

    monkeypatch.setattr("api.realtime.relay.redis_clients.connect_async", connect)
    settings = Settings(secret_key="x" * 32, database_url="-", redis_url="-", session_cache_seconds=0)
    relay = Relay(settings, bridge, authenticator=None)  # type: ignore[arg-type]  # It is not used without events.
    for listener in listeners:
        relay.hub.admit(listener)
        listener.after = 0
    relay.start()
    async with asyncio.timeout(10):
        await (has_come or redis.is_read).wait()
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


class AnsweringRedis(SwallowingRedis):
    """A Redis whose reads have these answers, before the read that loses its cancellation."""

    def __init__(self, *answers: list[Any]) -> None:
        super().__init__()
        self._answers = list(answers)

    async def xread(self, *_: Any, **options: Any) -> list[Any]:
        if not self._answers:
            return await super().xread(**options)
        answer = self._answers.pop(0)
        self.newest = answer[0][1][-1:] if answer else []
        return answer


def test_events_of_the_stream_need_no_query(monkeypatch: pytest.MonkeyPatch) -> None:
    async def follow() -> None:
        bridge = EmptyLogBridge()
        redis = AnsweringRedis([], answer(LOG[:2]))
        with capture_logs() as lines:
            async with running_relay(monkeypatch, bridge, redis) as relay:
                assert relay.snapshot().position == 2
        assert bridge.functions == [bounds]
        assert lines == []

    asyncio.run(follow())


def answer(events: list[Event]) -> list[Any]:
    """Return what Redis returns if it is asked for these events of the stream."""

    def encoded(fields: dict[str, str]) -> dict[bytes, bytes]:
        return {name.encode(): value.encode() for name, value in fields.items()}

    return [(STREAM_KEY.encode(), [(f"{event.seq}-0".encode(), encoded(stream_entry(event))) for event in events])]


def test_a_fast_listener_gets_more_events_at_once_than_fit_in_its_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    events = [replace(LOG[0], seq=number, audience=(ALICE.user_id,)) for number in range(1, 11)]

    async def follow() -> None:
        listener = Listener(ALICE, queue_frames=2)
        received: list[str] = []

        async def receive() -> None:
            while len(received) < len(events):
                received.append(await listener.next_frame())

        redis = AnsweringRedis(answer(events))
        async with asyncio.TaskGroup() as tasks, asyncio.timeout(10):
            receiving = tasks.create_task(receive())
            async with running_relay(monkeypatch, EmptyLogBridge(), redis, listeners=[listener]):
                await asyncio.wait([receiving, listener.ended], return_when=asyncio.FIRST_COMPLETED)
            assert received == [event.frame() for event in events]

    asyncio.run(follow())


@pytest.mark.parametrize(
    ("failures", "pauses"),
    [((True, True, True, True, False), [0.1, 0.2, 0.3, 0.3]), ((True, True, False, True, False), [0.1, 0.2, 0.1])],
)
def test_each_outage_of_redis_is_logged_once_and_redis_is_asked_less_and_less_often(
    failures: tuple[bool, ...], pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    paused: list[float] = []
    sleep = asyncio.sleep
    outcomes = iter(failures)

    async def remember_pauses(seconds: float) -> None:
        if 0 < seconds < 1:
            paused.append(seconds)
        await sleep(0 if seconds < 1 else seconds)

    async def newest(*_: Any, **__: Any) -> list[Any]:
        if next(outcomes, False):
            raise RedisError
        return []

    monkeypatch.setattr(asyncio, "sleep", remember_pauses)
    monkeypatch.setattr(relay_module, "_PAUSES_SECONDS", (0.1, 0.2, 0.3))
    monkeypatch.setattr(SwallowingRedis, "xrevrange", newest)

    async def follow() -> None:
        with capture_logs() as lines:
            async with running_relay(monkeypatch, EmptyLogBridge(), AnsweringRedis([])):
                pass
        outages = pauses.count(0.1)
        assert [line["event"] for line in lines] == ["relay_interrupted", "relay_recovered"] * outages
        assert paused == pauses

    asyncio.run(follow())


def test_the_relay_stops_in_the_middle_of_many_events(monkeypatch: pytest.MonkeyPatch) -> None:
    async def start_and_stop() -> None:
        bridge = LongLogBridge()
        async with running_relay(monkeypatch, bridge, SwallowingRedis([(b"3-0", {})]), has_come=bridge.is_read):
            pass
        assert bridge.functions == [bounds, bounds, read_since]

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


class ForgettingBridge(EmptyLogBridge):
    """A bridge to an event log with three events, which the listener may receive only at the first read of them."""

    async def run(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        may_receive = read_missed not in self.functions
        await super().run(function, *args, **kwargs)
        if function is bounds:
            return Bounds(last=3, oldest=1)
        _, since, _ = args
        return [(event.seq, event if may_receive else None) for event in LOG[since:]]


def test_missed_events_are_read_again_after_a_loss_of_access(monkeypatch: pytest.MonkeyPatch) -> None:
    async def listen() -> None:
        bridge = ForgettingBridge()
        listener = Listener(ALICE, queue_frames=10)
        frames: list[str] = []

        async def send(frame: str) -> None:
            frames.append(frame)
            if frame == LOG[0].frame():
                listener.lose_access(4)

        async with running_relay(monkeypatch, bridge, SwallowingRedis([(b"3-0", {})])) as relay:
            await relay.welcome(listener, since=0, send=send)
        assert frames[1:] == [LOG[0].frame()]
        assert listener.after == 3

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


class FailingBridge(EmptyLogBridge):
    """A bridge on which the first look-up of sessions fails as nobody expects, and later ones find none."""

    async def run(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        if function is not session_actors:
            return await super().run(function, *args, **kwargs)
        self.functions.append(function)
        if self.functions.count(session_actors) == 1:
            raise LookupError
        return {}


def test_sessions_are_looked_up_again_after_an_unexpected_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "_LEAST_CHECK_SECONDS", 0.01)

    async def wait_for_the_end_of_a_session() -> None:
        listener = Listener(ALICE, 10)
        async with running_relay(monkeypatch, FailingBridge(), SwallowingRedis(), listeners=[listener]):
            assert await asyncio.wait_for(listener.ended, 10) is CloseCode.SESSION_ENDED

    with capture_logs() as lines:
        asyncio.run(wait_for_the_end_of_a_session())

    assert [line["event"] for line in lines].count("session_check_failed") == 1
