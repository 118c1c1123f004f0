"""Count what the requests to an app cost: round trips to PostgreSQL and to Redis, and hand-overs to threads."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import pytest
from psycopg2.extensions import cursor
from redis.asyncio.connection import AbstractConnection as AsyncRedisConnection
from redis.connection import AbstractConnection as RedisConnection

from api.http.threads import Bridge
from core import db
from core.prepared import Connection


class Cost(NamedTuple):
    """How many round trips to PostgreSQL and Redis a request makes, and how often it hands work over to a thread."""

    postgres: int = 0
    redis: int = 0
    threads: int = 0


# Tasks and threads of a request have its context, so they count for this request. Background tasks have another one.
_counted: ContextVar[list[str] | None] = ContextVar("_counted", default=None)


def _count(what: str) -> None:
    counted = _counted.get()
    if counted is not None:
        counted.append(what)


class _Cursor(cursor):
    def execute(self, query: Any, parameters: Any = None) -> Any:
        # A statement is prepared once in each connection, which is no cost of the request that happens to be the first.
        if not query.startswith("PREPARE "):
            _count("postgres")
        return super().execute(query, parameters)


class _Connection(Connection):
    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.cursor_factory = _Cursor


class CountingApp:
    """An ASGI app that notes the cost of each request of another app under its `X-Request-ID`."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.costs: dict[str, Cost] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = ""

        async def note_id(message: Any) -> None:
            nonlocal request_id
            if message["type"] == "http.response.start":
                request_id = dict(message["headers"])[b"x-request-id"].decode()
            await send(message)

        counted: list[str] = []
        _counted.set(counted)
        await self._app(scope, receive, note_id)
        self.costs[request_id] = Cost(**{kind: counted.count(kind) for kind in Cost._fields})


@contextmanager
def counting() -> Iterator[None]:
    """Count in all connections to PostgreSQL that are configured inside the block, and everything else inside it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(db, "Connection", _Connection)
        for connection in (AsyncRedisConnection, RedisConnection):
            _count_calls(patch, connection, "send_packed_command", "redis")
        for method in ("run", "run_password_work", "run_file_io"):
            _count_calls(patch, Bridge, method, "threads")
        _count_calls(patch, asyncio, "to_thread", "threads")
        yield


def _count_calls(patch: pytest.MonkeyPatch, owner: Any, name: str, what: str) -> None:
    function: Callable[..., Any] = getattr(owner, name)

    def count_and_call(*args: Any, **kwargs: Any) -> Any:
        _count(what)
        return function(*args, **kwargs)

    patch.setattr(owner, name, count_and_call)
