"""The database and `unit_of_work()`, the only place that commits.

Each thread keeps one connection for good: that is cheaper than a pool, and `connected()` heals it when the server has
closed it in the meantime.
"""

import select
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from peewee import InterfaceError, OperationalError, PostgresqlDatabase

database = PostgresqlDatabase(None)

_thread = threading.local()

_CONNECT_SECONDS = 3
_KEEPALIVE: dict[str, Any] = {"keepalives": 1, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}


def configure(url: str, *, application: str, statement_seconds: float) -> None:
    """Point this process at its database; no connection is made yet.

    `statement_seconds` bounds every statement and every wait for a lock on the server's side. `application` is the
    name under which `pg_stat_activity` shows the process.
    """
    milliseconds = int(statement_seconds * 1000)
    database.init(
        url,
        application_name=f"allweather-{application}",
        connect_timeout=_CONNECT_SECONDS,
        tcp_user_timeout=milliseconds,
        options=(
            f"-c timezone=UTC -c statement_timeout={milliseconds} -c lock_timeout={milliseconds}"
            f" -c idle_in_transaction_session_timeout={milliseconds * 2}"
        ),
        **_KEEPALIVE,
    )


def _connection() -> Any:
    return database.connection()  # type: ignore[no-untyped-call]  # peewee leaves it untyped.


def _closed_by_server(connection: Any) -> bool:
    """Tell whether an idle connection is dead, without a round trip.

    A server that ends an idle connection says so, or at least hangs up: either makes the socket readable, and a
    healthy idle connection has nothing to read.
    """
    if connection.closed:
        return True
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


@contextmanager
def connected() -> Iterator[None]:
    """Lend the thread its connection, made anew where the server has dropped it.

    A connection that fails inside the block is closed, so that the next use starts afresh; psycopg2 would otherwise
    keep a dead one for ever.
    """
    nested = database.in_transaction()
    if not nested and not database.is_closed() and _closed_by_server(_connection()):
        database.close()
    database.connect(reuse_if_open=True)
    try:
        yield
    except (OperationalError, InterfaceError):
        if not nested:
            database.close()
        raise


def after_commit(callback: Callable[[], object]) -> None:
    """Call back once the running unit of work has committed, at most once each however often it is asked for."""
    _thread.callbacks[callback] = None


@contextmanager
def unit_of_work() -> Iterator[None]:
    """Run one use case in one transaction: all of it is committed at the end, or nothing where an exception leaves.

    Inside another one it is a part of that: undone by itself where an exception leaves it, and otherwise committed, or
    undone, with the whole.
    """
    if database.in_transaction():
        with _part_of_a_whole():
            yield
        return
    _thread.callbacks = {}
    with connected(), database.atomic():
        yield
    for callback in _thread.callbacks:
        callback()


@contextmanager
def _part_of_a_whole() -> Iterator[None]:
    before = dict(_thread.callbacks)
    try:
        with database.atomic():
            yield
    except BaseException:
        _thread.callbacks = before
        raise


@contextmanager
def exclusive(name: str) -> Iterator[bool]:
    """Try to become the only holder of `name` among all processes; yields whether it worked, and never waits.

    The lock belongs to the connection (a PostgreSQL advisory lock), so it ends with a process that is killed.
    """
    with connected():
        (held,) = execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (name,)).fetchone()
        try:
            yield held
        finally:
            if held and not database.is_closed():
                execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", (name,))


def execute(sql: str, parameters: Any = None) -> Any:
    """Run a hand-written statement in one round trip, past peewee's query builder, and answer its cursor."""
    with connected():
        return database.execute_sql(sql, parameters)  # type: ignore[no-untyped-call]  # peewee leaves it untyped.


def fetch_one(sql: str, parameters: dict[str, Any]) -> tuple[Any, ...] | None:
    """Answer the first row of a hand-written query."""
    row: tuple[Any, ...] | None = execute(sql, parameters).fetchone()
    return row


def disconnect() -> None:
    """Close this thread's connection, before a fork or at the end of the thread."""
    if not database.is_closed():
        database.close()
