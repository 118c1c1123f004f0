"""Fixtures for tests of concurrent changes."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from tests.polling import wait_until
from tests.sql import execute
from tests.threads import disconnecting


@pytest.fixture
def start_blocked(database: None) -> Iterator[Callable[..., Future[Any]]]:
    """Return a function that starts a call in another thread and returns when that call waits for a lock."""

    def begin(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Future[Any]:
        begun = pool.submit(disconnecting(function), *args, **kwargs)
        wait_until(lambda: execute("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)").fetchone()[0])
        return begun

    with ThreadPoolExecutor(1) as pool:
        yield begin
