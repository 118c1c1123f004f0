"""Runs blocking calls in threads, with a time limit. Coroutines use the database only through this module.

Each database thread keeps its own database connection. Password hashing and file access have separate, small thread
pools, so that many logins or a slow storage do not delay database calls.
"""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from core.errors import Unavailable
from core.messages import msg

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

# One bcrypt hash takes about a quarter of a second, so a longer wait means that too many calls are queued.
_PASSWORD_WAIT_SECONDS = 15.0

# This is longer than the storage's own time-outs, so that its own errors are raised first.
_FILE_WAIT_SECONDS = 30.0
_FILE_THREADS = 8

_TOO_BUSY = msg("The service is too busy or a part of it is down. Please try again.")


class Bridge:
    """Runs blocking calls for coroutines. A database call may take `database_seconds`, with the wait for a thread.

    The methods have the parameter types of the function that they run, so mypy checks its arguments.
    """

    def __init__(self, *, database_threads: int, database_seconds: float, password_threads: int) -> None:
        self._database = ThreadPoolExecutor(database_threads, thread_name_prefix="database")
        self._passwords = ThreadPoolExecutor(password_threads, thread_name_prefix="passwords")
        self._files = ThreadPoolExecutor(_FILE_THREADS, thread_name_prefix="files")
        self._database_seconds = database_seconds

    async def run(
        self, function: Callable[_Parameters, _Result], /, *args: _Parameters.args, **kwargs: _Parameters.kwargs
    ) -> _Result:
        """Run a use case in a database thread. It must return plain data: model objects must not leave the thread.

        Raises:
            Unavailable: with code `database_unavailable` if it takes too long. A call that has begun may still finish
                after that; a call that has not begun is cancelled.
        """
        call = partial(function, *args, **kwargs)
        return await _run_in(self._database, self._database_seconds, "database_unavailable", call)

    async def run_password_work(
        self, function: Callable[_Parameters, _Result], /, *args: _Parameters.args, **kwargs: _Parameters.kwargs
    ) -> _Result:
        """Run a function that hashes or verifies a password in a thread for passwords.

        Raises:
            Unavailable: with code `overloaded` if it takes too long, because too many other calls wait.
        """
        return await _run_in(self._passwords, _PASSWORD_WAIT_SECONDS, "overloaded", partial(function, *args, **kwargs))

    async def run_file_io(
        self, function: Callable[_Parameters, _Result], /, *args: _Parameters.args, **kwargs: _Parameters.kwargs
    ) -> _Result:
        """Run a function that reads or writes a file or the storage in a thread for files.

        Raises:
            Unavailable: with code `storage_unavailable` if it takes too long.
        """
        call = partial(function, *args, **kwargs)
        return await _run_in(self._files, _FILE_WAIT_SECONDS, "storage_unavailable", call)

    def close(self) -> None:
        """Cancel the calls that wait for a thread. Running calls finish, but this method does not wait for them."""
        self._database.shutdown(wait=False, cancel_futures=True)
        self._passwords.shutdown(wait=False, cancel_futures=True)
        self._files.shutdown(wait=False, cancel_futures=True)


async def _run_in(pool: ThreadPoolExecutor, seconds: float, code: str, call: Callable[[], _Result]) -> _Result:
    context = contextvars.copy_context()
    future = asyncio.get_running_loop().run_in_executor(pool, context.run, call)
    try:
        async with asyncio.timeout(seconds):
            return await future
    except TimeoutError:
        raise Unavailable(_TOO_BUSY, code=code) from None
