"""Runs blocking calls in threads, with a time limit. Coroutines use the database only through this module.

Each database thread keeps its own database connection. Password hashing, file access and requests to other servers have
separate, small thread pools, so that many logins, a slow storage or a slow server do not delay database calls.
"""

import asyncio
import contextvars
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, Final, Generic, ParamSpec, TypeVar

import structlog

from api.cores import use_all_cores
from api.http.overload import TOO_BUSY, OverloadLog, uncounted
from core import metrics, tracing
from core.errors import Unavailable

log = structlog.get_logger()

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

# One bcrypt hash takes about a quarter of a second, so a longer wait means that too many calls are queued.
_PASSWORD_WAIT_SECONDS = 15.0

# This is longer than the storage's own time-outs, so that its own errors are raised first.
_FILE_WAIT_SECONDS = 30.0
_FILE_THREADS = 8

# Each of them may wait for another server for as long as its caller is patient.
_OUTBOUND_THREADS = 8

# How much the latest call changes the average duration of a call.
_WEIGHT_OF_LATEST: Final = 0.1


class Bridge:
    """Runs blocking calls for coroutines. A database call may take `database_seconds`, with the wait for a thread.

    The methods have the parameter types of the function that they run, so mypy checks its arguments.
    """

    def __init__(self, *, database_threads: int, database_seconds: float, password_threads: int) -> None:
        self._database = _Pool("database", database_threads)
        self._passwords = _Pool("passwords", password_threads, on_all_cores=True)
        self._files = _Pool("files", _FILE_THREADS, on_all_cores=True)
        self._outbound = _Pool("outbound", _OUTBOUND_THREADS)
        self._database_seconds = database_seconds

    async def run(
        self, function: Callable[_Parameters, _Result], /, *args: _Parameters.args, **kwargs: _Parameters.kwargs
    ) -> _Result:
        """Run a use case in a database thread. It must return plain data: model objects must not leave the thread.

        Raises:
            Unavailable: with code `database_unavailable` if it takes too long. A call that has begun may still finish
                after that; a call that has not begun is cancelled. With code `overloaded`, at once, if so many calls
                wait that it would not begin in time.
        """
        call = partial(function, *args, **kwargs)
        return await self._database.run(call, self._database_seconds, "database_unavailable")

    async def run_password_work(
        self, function: Callable[_Parameters, _Result], /, *args: _Parameters.args, **kwargs: _Parameters.kwargs
    ) -> _Result:
        """Run a function that hashes or verifies a password in a thread for passwords.

        Raises:
            Unavailable: with code `overloaded` if it takes too long, because too many other calls wait.
        """
        call = partial(function, *args, **kwargs)
        with uncounted():
            return await self._passwords.run(call, _PASSWORD_WAIT_SECONDS, "overloaded")

    async def run_file_io(
        self, function: Callable[_Parameters, _Result], /, *args: _Parameters.args, **kwargs: _Parameters.kwargs
    ) -> _Result:
        """Run a function that reads or writes a file or the storage in a thread for files.

        Raises:
            Unavailable: with code `storage_unavailable` if it takes too long, and with `overloaded`, at once, if it
                would not begin in time.
        """
        call = partial(function, *args, **kwargs)
        with uncounted():
            return await self._files.run(call, _FILE_WAIT_SECONDS, "storage_unavailable")

    async def run_outbound(
        self,
        seconds: float,
        function: Callable[_Parameters, _Result],
        /,
        *args: _Parameters.args,
        **kwargs: _Parameters.kwargs,
    ) -> _Result:
        """Run a function that waits for another server, in a thread for that. It must not use the database.

        Raises:
            Unavailable: with code `overloaded`, if it takes longer than `seconds`, with the wait for a thread; at once
                if it would not begin in time.
        """
        call = partial(function, *args, **kwargs)
        with uncounted():
            return await self._outbound.run(call, seconds, "overloaded")

    def close(self) -> None:
        """Cancel the calls that wait for a thread. Running calls finish, but this method does not wait for them."""
        for pool in (self._database, self._passwords, self._files, self._outbound):
            pool.close()


class _Call(Generic[_Result]):
    """A call for a thread, and the future for its result, which belongs to the event loop."""

    __slots__ = ("_context", "_function", "future", "loop")

    def __init__(self, function: Callable[[], _Result]) -> None:
        self._function = function
        self._context = contextvars.copy_context()
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[_Result] = self.loop.create_future()

    def run(self) -> Callable[[], None]:
        """Run the call in this thread; returns what has to be called in the event loop."""
        try:
            return partial(self._set_result, self._context.run(self._function))
        except StopIteration as error:
            # A future refuses this error, so the coroutine would wait until the deadline.
            return partial(self._set_exception, RuntimeError(f"The call raised {error!r}."))
        except BaseException as error:  # noqa: BLE001 - the coroutine that waits raises it.
            return partial(self._set_exception, error)

    def settle(self, in_loop: Callable[[], None]) -> None:
        """Let the coroutine that waits go on."""
        # The loop is closed if its process ends while the call runs.
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(in_loop)

    def fail(self, code: str) -> None:
        """Stop waiting for the call."""
        self._set_exception(Unavailable(TOO_BUSY, code=code))

    def _set_result(self, result: _Result) -> None:
        if not self.future.done():
            self.future.set_result(result)

    def _set_exception(self, error: BaseException) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class _Pool:
    """Threads that run calls for coroutines. A thread is started only if all others are busy.

    `concurrent.futures` would do the same, but it takes locks and makes a second future for each call, which costs more
    than the rest of the hand-over.
    """

    def __init__(self, name: str, threads: int, *, on_all_cores: bool = False) -> None:
        self._name = name
        self._on_all_cores = on_all_cores
        self._limit = threads
        self._threads: list[threading.Thread] = []
        self._calls: SimpleQueue[_Call[Any] | None] = SimpleQueue()
        # One element for each call that waits or runs. A thread removes one after its call, so while there are not more
        # elements than threads, each call has a thread that runs it or is free. The operations of a deque are atomic.
        self._unfinished: deque[None] = deque()
        self._average_seconds = 0.0
        self._latest_begin = 0.0
        self._waiting_since = 0.0
        self._overload_log = OverloadLog(name)
        metrics.THREADS.read_from(lambda: threads, name)
        metrics.THREADS_BUSY.read_from(self.busy, name)
        metrics.CALLS_WAITING.read_from(self.waiting, name)

    async def run(self, function: Callable[[], _Result], seconds: float, code: str) -> _Result:
        """Run a call in a thread.

        Raises:
            Unavailable: with this code, if it takes longer than `seconds`, with the wait for a thread; with code
                `overloaded`, and without waiting, if the wait alone would be longer.
        """
        if self._expected_wait() > seconds:
            self._overload_log.note_refusal()
            raise Unavailable(TOO_BUSY, code="overloaded")
        if self._calls.empty():
            self._waiting_since = monotonic()
        call = _Call(tracing.traced(function, self._name))
        deadline = call.loop.call_later(seconds, call.fail, code)
        self._unfinished.append(None)
        self._calls.put(call)
        if len(self._unfinished) > len(self._threads) and len(self._threads) < self._limit:
            self._start_thread()
        try:
            return await call.future
        finally:
            deadline.cancel()

    def busy(self) -> int:
        """Return how many calls run."""
        return max(len(self._unfinished) - self._calls.qsize(), 0)

    def waiting(self) -> int:
        """Return how many calls wait for a thread."""
        return self._calls.qsize()

    def close(self) -> None:
        """Cancel the calls that wait, and let each thread end after its running call."""
        # A thread may take a call between two steps of this loop, so it must not wait for one.
        with suppress(Empty):
            while True:
                call = self._calls.get_nowait()
                if call is not None:
                    call.future.cancel()
        for _ in self._threads:
            self._calls.put(None)

    def _expected_wait(self) -> float:
        """Return about how many seconds the next call will wait for a thread."""
        waiting = len(self._unfinished) - self._limit
        if waiting <= 0:
            return 0.0
        # If all threads are stuck, no call ends, and the average does not show it. But then no call begins either.
        since_latest_begin = monotonic() - max(self._latest_begin, self._waiting_since)
        return waiting * max(self._average_seconds, since_latest_begin) / self._limit

    def _start_thread(self) -> None:
        """Start one more thread. If the system has none left, the call waits for another thread, until its deadline."""
        name = f"{self._name}_{len(self._threads)}"
        thread = threading.Thread(target=self._run_calls, name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            log.warning("thread_not_started", name=name, reason=str(error))
        else:
            self._threads.append(thread)

    def _run_calls(self) -> None:
        if self._on_all_cores:
            use_all_cores()
        while (call := self._calls.get()) is not None:
            # Nobody waits for a call that has timed out.
            if not call.future.done():
                self._run(call)
            self._unfinished.pop()

    def _run(self, call: _Call[Any]) -> None:
        """Run a call and note its duration. Threads may overwrite each other's average, which does no harm."""
        begin = self._latest_begin = monotonic()
        in_loop = call.run()
        self._average_seconds += (monotonic() - begin - self._average_seconds) * _WEIGHT_OF_LATEST
        call.settle(in_loop)
