"""Blocking calls in threads: time limits, context variables, and a pool for each kind of call."""

import asyncio
import contextvars
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

import pytest
from structlog.testing import capture_logs

from api.http.threads import Bridge
from core.errors import Unavailable
from tests.polling import wait_until

KINDS = {
    "run": ("database", "database_unavailable"),
    "run_password_work": ("passwords", "overloaded"),
    "run_file_io": ("files", "storage_unavailable"),
}

reader: contextvars.ContextVar[str] = contextvars.ContextVar("reader", default="nobody")


@pytest.fixture
def make_bridge() -> Iterator[Callable[[float], Bridge]]:
    """Makes a bridge with one database thread, and closes it after the test."""
    made: list[Bridge] = []

    def make(database_seconds: float) -> Bridge:
        made.append(Bridge(database_threads=1, database_seconds=database_seconds, password_threads=1))
        return made[-1]

    yield make
    for bridge in made:
        bridge.close()


@pytest.fixture
def bridge(make_bridge: Callable[[float], Bridge]) -> Bridge:
    return make_bridge(10)


@pytest.fixture
def quick_bridge(make_bridge: Callable[[float], Bridge], monkeypatch: pytest.MonkeyPatch) -> Bridge:
    """A bridge on which every call times out almost at once."""
    monkeypatch.setattr("api.http.threads._PASSWORD_WAIT_SECONDS", 0.05)
    monkeypatch.setattr("api.http.threads._FILE_WAIT_SECONDS", 0.05)
    return make_bridge(0.05)


@pytest.fixture
def blocked() -> Iterator["Blocking"]:
    """An event on which calls can block; the end of the test sets it, so that their threads can end."""
    event = Blocking()
    yield event
    event.set()


class Blocking(threading.Event):
    """An event that says when a call has begun to wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.is_awaited = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.is_awaited.set()
        return super().wait(timeout)


def run(bridge: Bridge, kind: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return asyncio.run(getattr(bridge, kind)(function, *args, **kwargs))


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_gets_its_arguments_and_returns_its_result(kind: str, bridge: Bridge) -> None:
    assert run(bridge, kind, lambda *args, **kwargs: (args, kwargs), 1, 2, name="x") == ((1, 2), {"name": "x"})


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_of_the_call_is_raised_unchanged(kind: str, bridge: Bridge) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        run(bridge, kind, int, "no number")


@pytest.mark.parametrize(("kind", "code"), [(kind, code) for kind, (_, code) in KINDS.items()])
def test_a_call_that_takes_too_long_is_unavailable(
    kind: str, code: str, quick_bridge: Bridge, blocked: threading.Event
) -> None:
    with pytest.raises(Unavailable) as failure:
        run(quick_bridge, kind, blocked.wait)

    assert failure.value.stable_code == code


def test_a_call_that_times_out_before_it_begins_is_never_run(quick_bridge: Bridge, blocked: threading.Event) -> None:
    begun: list[str] = []

    async def both() -> list[Any]:
        running, waiting = quick_bridge.run(blocked.wait), quick_bridge.run(begun.append, "the second")
        return await asyncio.gather(running, waiting, return_exceptions=True)

    failures = asyncio.run(both())
    blocked.set()

    def is_third_run() -> bool:
        with suppress(Unavailable):
            run(quick_bridge, "run", begun.append, "the third")
        return bool(begun)

    assert [type(failure) for failure in failures] == [Unavailable, Unavailable]
    # The only thread is free soon. It runs the next call, and not the call that has timed out.
    wait_until(is_third_run)
    assert begun == ["the third"]


@pytest.mark.parametrize("kind", KINDS)
def test_context_variables_cross_to_the_thread_and_stay_there(kind: str, bridge: Bridge) -> None:
    def change() -> str:
        before = reader.get()
        reader.set("the thread")
        return before

    async def read_twice() -> tuple[str, str, str]:
        reader.set("alice")
        call = getattr(bridge, kind)
        return await call(change), await call(reader.get), reader.get()

    assert asyncio.run(read_twice()) == ("alice", "alice", "alice")


@pytest.mark.parametrize(("kind", "pool"), [(kind, pool) for kind, (pool, _) in KINDS.items()])
def test_each_kind_of_call_has_threads_of_its_own(kind: str, pool: str, bridge: Bridge) -> None:
    assert run(bridge, kind, lambda: threading.current_thread().name).startswith(pool)


@pytest.mark.parametrize(
    ("busy", "others"), [("run", ["run_password_work", "run_file_io"]), ("run_password_work", ["run"])]
)
def test_a_busy_pool_does_not_delay_the_others(
    busy: str, others: list[str], bridge: Bridge, blocked: threading.Event
) -> None:
    async def call_beside_a_blocked_one() -> list[str]:
        blocking = asyncio.create_task(getattr(bridge, busy)(blocked.wait))
        await asyncio.sleep(0)
        results = [await getattr(bridge, kind)(lambda: "served") for kind in others]
        assert not blocking.done()
        blocked.set()
        await blocking
        return results

    assert asyncio.run(call_beside_a_blocked_one()) == ["served"] * len(others)


def test_an_error_that_no_future_accepts_is_not_a_timeout(bridge: Bridge) -> None:
    with pytest.raises(RuntimeError, match="StopIteration"):
        run(bridge, "run", next, iter([]))


def test_a_call_does_not_wait_for_a_thread_that_has_just_taken_another_one(
    blocked: Blocking, monkeypatch: pytest.MonkeyPatch
) -> None:
    class SlowFirstTake(SimpleQueue[Any]):
        """A queue whose first call reaches its thread late."""

        def get(self, block: bool = True, timeout: float | None = None) -> Any:
            call = super().get(block, timeout)
            if not blocked.is_awaited.is_set():
                blocked.wait()
            return call

    monkeypatch.setattr("api.http.threads.SimpleQueue", SlowFirstTake)
    bridge = Bridge(database_threads=2, database_seconds=10, password_threads=1)

    async def call_both() -> tuple[str, str]:
        first = asyncio.create_task(bridge.run(lambda: "first"))
        await asyncio.sleep(0)
        await asyncio.to_thread(blocked.is_awaited.wait)
        second = await bridge.run(lambda: "second")
        assert not first.done()
        blocked.set()
        return await first, second

    assert asyncio.run(call_both()) == ("first", "second")
    bridge.close()


def test_a_thread_that_cannot_be_started_does_not_count(quick_bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch, capture_logs() as lines:
        patch.setattr(threading.Thread, "start", fail)
        with pytest.raises(Unavailable) as failure:
            run(quick_bridge, "run_file_io", lambda: "never")

    assert failure.value.stable_code == "storage_unavailable"
    assert [line["event"] for line in lines] == ["thread_not_started"]
    assert run(quick_bridge, "run_file_io", lambda: "served") == "served"


def test_closing_does_not_wait_for_a_call_that_a_thread_takes_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    class AlwaysFull(SimpleQueue[Any]):
        """A queue that had a call when it was looked at last."""

        def empty(self) -> bool:
            return False

    monkeypatch.setattr("api.http.threads.SimpleQueue", AlwaysFull)
    closing = threading.Thread(
        target=Bridge(database_threads=1, database_seconds=10, password_threads=1).close, daemon=True
    )

    closing.start()

    wait_until(lambda: not closing.is_alive())


class TestExpectedWait:
    """One database thread, a time limit of ten seconds, and a clock that the test sets."""

    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        now = [1000.0]
        monkeypatch.setattr("api.http.threads.monotonic", lambda: now[0])
        return now

    def test_a_call_that_would_not_begin_in_time_is_refused_at_once_and_never_run(
        self, bridge: Bridge, blocked: Blocking, clock: list[float]
    ) -> None:
        begun: list[str] = []

        async def overload() -> list[Any]:
            running = asyncio.create_task(bridge.run(blocked.wait))
            await asyncio.sleep(0)
            await asyncio.to_thread(blocked.is_awaited.wait)
            waiting = [asyncio.create_task(bridge.run(begun.append, "waiting")) for _ in range(3)]
            await asyncio.sleep(0)
            # The only thread has been stuck for 4 s, so three calls need 12 s.
            clock[0] += 4
            with pytest.raises(Unavailable) as failure:
                await bridge.run(begun.append, "refused")
            assert not running.done()
            blocked.set()
            await asyncio.gather(running, *waiting)
            await bridge.run(begun.append, "afterwards")
            return [failure.value.stable_code, failure.value.retry_after]

        assert asyncio.run(overload()) == ["overloaded", 2]
        assert begun == ["waiting"] * 3 + ["afterwards"]

    def test_the_time_before_the_first_call_does_not_count(
        self, bridge: Bridge, blocked: Blocking, clock: list[float]
    ) -> None:
        async def burst() -> list[Any]:
            running = asyncio.create_task(bridge.run(blocked.wait))
            await asyncio.sleep(0)
            await asyncio.to_thread(blocked.is_awaited.wait)
            waiting = [asyncio.create_task(bridge.run(lambda: "served")) for _ in range(20)]
            await asyncio.sleep(0)
            blocked.set()
            await running
            return await asyncio.gather(*waiting)

        assert asyncio.run(burst()) == ["served"] * 20

    def test_the_time_in_which_nothing_was_to_do_does_not_count(self, bridge: Bridge, clock: list[float]) -> None:
        async def burst_after_a_quiet_time() -> list[Any]:
            await bridge.run(lambda: "served")
            clock[0] += 60
            return await asyncio.gather(*(bridge.run(lambda: "served") for _ in range(20)))

        assert asyncio.run(burst_after_a_quiet_time()) == ["served"] * 20

    def test_slow_calls_count_although_none_is_stuck(
        self, bridge: Bridge, blocked: Blocking, clock: list[float]
    ) -> None:
        def slow() -> None:
            clock[0] += 9

        async def overload() -> str:
            for _ in range(20):
                await bridge.run(slow)
            running = asyncio.create_task(bridge.run(blocked.wait))
            await asyncio.sleep(0)
            await asyncio.to_thread(blocked.is_awaited.wait)
            waiting = [asyncio.create_task(bridge.run(lambda: "served")) for _ in range(2)]
            await asyncio.sleep(0)
            with pytest.raises(Unavailable) as failure:
                await bridge.run(lambda: "refused")
            blocked.set()
            await asyncio.gather(running, *waiting)
            return failure.value.stable_code

        assert asyncio.run(overload()) == "overloaded"
