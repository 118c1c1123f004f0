"""The one way from the event loop to the database: a call runs whole in a thread, and no longer than it may.

Each thread keeps a database connection of its own. Password hashing and file access have small pools of their own, so
that neither many logins nor a slow storage can keep reads waiting.
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

# One bcrypt hash takes a quarter of a second. A caller who would wait longer than this should rather try again.
_PASSWORD_WAIT_SECONDS = 15.0

# Longer than the storage's own time-outs.
_FILE_WAIT_SECONDS = 30.0
_FILE_THREADS = 8

_TOO_BUSY = msg("The service is too busy or a part of it is down. Please try again.")


class Bridge:
    """Runs blocking calls for coroutines. `database_seconds` bounds the wait for a thread and the call together.

    The types of the arguments are those of the function that is called, so mypy checks each call as a direct one.
    """

    def __init__(self, *, database_threads: int, database_seconds: float, password_threads: int) -> None:
        self._database = ThreadPoolExecutor(database_threads, thread_name_prefix="database")
        self._passwords = ThreadPoolExecutor(password_threads, thread_name_prefix="passwords")
        self._files = ThreadPoolExecutor(_FILE_THREADS, thread_name_prefix="files")
        self._database_seconds = database_seconds

    async def run(
        self, function: Callable[_Parameters, _Result], /, *args: _Parameters.args, **kwargs: _Parameters.kwargs
    ) -> _Result:
        """Run a use case in a database thread and return plain data; model objects must not leave the thread.

        Raises:
            Unavailable: with code `database_unavailable` where it takes too long. A call that has begun may still
                finish after that; one that has not is dropped.
        """
        call = partial(function, *args, **kwargs)
        return await _bounded(self._database, self._database_seconds, "database_unavailable", call)

    async def run_bcrypt(
        self, function: Callable[_Parameters, _Result], /, *args: _Parameters.args, **kwargs: _Parameters.kwargs
    ) -> _Result:
        """Run a function that hashes or verifies a password, outside the database's threads.

        Raises:
            Unavailable: with code `overloaded` where too many of them wait.
        """
        return await _bounded(self._passwords, _PASSWORD_WAIT_SECONDS, "overloaded", partial(function, *args, **kwargs))

    async def run_file_io(
        self, function: Callable[_Parameters, _Result], /, *args: _Parameters.args, **kwargs: _Parameters.kwargs
    ) -> _Result:
        """Run a function that reads or writes a file or the storage, outside the database's threads.

        Raises:
            Unavailable: with code `storage_unavailable` where it takes too long.
        """
        call = partial(function, *args, **kwargs)
        return await _bounded(self._files, _FILE_WAIT_SECONDS, "storage_unavailable", call)

    def close(self) -> None:
        """Let running calls finish and drop those that wait."""
        self._database.shutdown(wait=False, cancel_futures=True)
        self._passwords.shutdown(wait=False, cancel_futures=True)
        self._files.shutdown(wait=False, cancel_futures=True)


async def _bounded(pool: ThreadPoolExecutor, seconds: float, code: str, call: Callable[[], _Result]) -> _Result:
    context = contextvars.copy_context()
    future = asyncio.get_running_loop().run_in_executor(pool, context.run, call)
    try:
        async with asyncio.timeout(seconds):
            return await future
    except TimeoutError:
        raise Unavailable(_TOO_BUSY, code=code) from None
