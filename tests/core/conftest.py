"""Fixtures for tests of concurrent changes, and for tests that change the schema."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import Any
from uuid import uuid4

import psycopg2
import pytest

from tests.polling import wait_until
from tests.sql import close_connections, execute
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


@pytest.fixture
def empty_database(postgres_url: str) -> Iterator[str]:
    """A new, empty database in the cluster of the test run."""
    name = f"test_{uuid4().hex}"
    with closing(psycopg2.connect(postgres_url)) as connection:
        connection.autocommit = True
        connection.cursor().execute(f"CREATE DATABASE {name}")
        url = postgres_url.replace("/allweather?", f"/{name}?")
        yield url
        close_connections(url)
        # With FORCE, PostgreSQL would refuse if an autovacuum worker, which belongs to a superuser, is at work there.
        connection.cursor().execute(f"DROP DATABASE {name}")
