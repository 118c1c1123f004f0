"""The one way from the event loop to the database: a call runs whole in a thread, and no longer than it may.

Each thread keeps a database connection of its own. Passwords are hashed in a small pool of their own, so that a wave of
logins cannot starve the reads, and so are files handled, so that a slow storage cannot.
"""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from core.errors import Unavailable
from core.messages import msg

_Answer = TypeVar("_Answer")

# Bcrypt takes a quarter of a second each; who would wait longer than this is better served by coming back.
_PASSWORD_WAIT_SECONDS = 15.0

# Longer than a storage takes to give up by itself.
_FILE_WAIT_SECONDS = 30.0
_FILE_THREADS = 8

_TOO_BUSY = msg("The service is too busy or a part of it is down. Please try again.")


class Bridge:
    """Runs blocking calls for coroutines. `database_seconds` bounds the wait for a thread and the call together."""

    def __init__(self, *, database_threads: int, database_seconds: float, password_threads: int) -> None:
        self._database = ThreadPoolExecutor(database_threads, thread_name_prefix="database")
        self._passwords = ThreadPoolExecutor(password_threads, thread_name_prefix="passwords")
        self._files = ThreadPoolExecutor(_FILE_THREADS, thread_name_prefix="files")
        self._database_seconds = database_seconds

    async def run(self, function: Callable[..., _Answer], /, *args: Any, **kwargs: Any) -> _Answer:
        """Run a use case in a database thread and answer plain data; model objects stay on the other side.

        Raises:
            Unavailable: with code `database_unavailable` where it takes too long. A call that has begun may still
                finish after that; one that has not is dropped.
        """
        return await _bounded(self._database, self._database_seconds, "database_unavailable", function, args, kwargs)

    async def run_bcrypt(self, function: Callable[..., _Answer], /, *args: Any) -> _Answer:
        """Run a password function, outside the database's threads."""
        return await _bounded(self._passwords, _PASSWORD_WAIT_SECONDS, "overloaded", function, args, {})

    async def run_file_io(self, function: Callable[..., _Answer], /, *args: Any) -> _Answer:
        """Run a function that reads or writes a file or the storage, outside the database's threads."""
        return await _bounded(self._files, _FILE_WAIT_SECONDS, "storage_unavailable", function, args, {})

    def close(self) -> None:
        """Let running calls finish and drop those that wait."""
        self._database.shutdown(wait=False, cancel_futures=True)
        self._passwords.shutdown(wait=False, cancel_futures=True)
        self._files.shutdown(wait=False, cancel_futures=True)


async def _bounded(
    pool: ThreadPoolExecutor,
    seconds: float,
    code: str,
    function: Callable[..., _Answer],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> _Answer:
    context = contextvars.copy_context()
    call = asyncio.get_running_loop().run_in_executor(pool, lambda: context.run(function, *args, **kwargs))
    try:
        async with asyncio.timeout(seconds):
            return await call
    except TimeoutError:
        raise Unavailable(_TOO_BUSY, code=code) from None
