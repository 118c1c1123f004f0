"""The database: `unit_of_work()`, the only place that commits, `read()` and `write()`.

Outside a unit of work the database can be read and not changed. `write()`, queries of peewee that write, and
`after_commit()` then raise `UnitOfWorkMissingError` before anything is sent. Whatever else is sent cannot write either:
the sessions are read-only, and only a unit of work begins a transaction that may write.

Each thread keeps one connection for good: that is cheaper than a pool, and `connected()` replaces it when the server
has closed it in the meantime.
"""

import select
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from peewee import InterfaceError, OperationalError, PostgresqlDatabase, Query, SelectQuery

Row = tuple[Any, ...]

_thread = threading.local()

_CONNECT_SECONDS = 3
_KEEPALIVE: dict[str, Any] = {"keepalives": 1, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}


class UnitOfWorkMissingError(RuntimeError):
    """Something that belongs into a unit of work was called outside one: a mistake in the code, not a failure."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} outside a unit of work. Call it inside `with core.db.unit_of_work():`.")


class _Database(PostgresqlDatabase):
    """peewee's database, in which only a unit of work can write."""

    def begin(self, isolation_level: object = None) -> None:  # noqa: ARG002 - peewee passes it; there is one level here.
        """Begin a transaction that may write, which the session's default forbids."""
        self.execute_sql("BEGIN READ WRITE")  # type: ignore[no-untyped-call]  # peewee leaves it untyped.

    def execute(self, query: Query, **options: Any) -> Any:
        """Run a query of peewee."""
        if not isinstance(query, SelectQuery):
            _require_unit_of_work("A query that writes was executed")
        return super().execute(query, **options)  # type: ignore[no-untyped-call]  # peewee leaves it untyped.


database = _Database(None)


class _UnitOfWork:
    """A running unit of work: what is to be called once it has committed, each once and in this order."""

    def __init__(self) -> None:
        self.callbacks: dict[Callable[[], object], None] = {}


class Rows:
    """What a statement has returned."""

    __slots__ = ("_cursor",)

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    @property
    def count(self) -> int:
        """How many rows the statement has returned or changed."""
        number: int = self._cursor.rowcount
        return number

    def fetch_all(self) -> list[Row]:
        """All rows."""
        rows: list[Row] = self._cursor.fetchall()
        return rows

    def fetch_one(self) -> Row | None:
        """The first row, or None where there is none."""
        row: Row | None = self._cursor.fetchone()
        return row

    def fetch_exactly_one(self) -> Row:
        """The row of a statement that always has one, such as an aggregate.

        Raises:
            LookupError: where there is none, which is a mistake in the statement.
        """
        row = self.fetch_one()
        if row is None:
            raise LookupError("A statement that always has a row returned none.")
        return row

    def fetch_value(self) -> Any:
        """The only column of `fetch_exactly_one()`."""
        (value,) = self.fetch_exactly_one()
        return value


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
            f"-c timezone=UTC -c default_transaction_read_only=on"
            f" -c statement_timeout={milliseconds} -c lock_timeout={milliseconds}"
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
    """Give the thread its connection, made anew where the server has closed it.

    A connection that fails inside the block is closed, so that the next use makes a new one; psycopg2 would otherwise
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


def is_in_unit_of_work() -> bool:
    """Whether this thread is inside a unit of work."""
    return _running() is not None


def _running() -> _UnitOfWork | None:
    unit: _UnitOfWork | None = getattr(_thread, "unit", None)
    return unit


def _require_unit_of_work(what: str) -> _UnitOfWork:
    unit = _running()
    if unit is None:
        raise UnitOfWorkMissingError(what)
    return unit


def after_commit(callback: Callable[[], object]) -> None:
    """Have a function called once the running unit of work has committed; asked for several times, it is called once.

    Raises:
        UnitOfWorkMissingError: where none is running.
    """
    _require_unit_of_work("after_commit() was called").callbacks[callback] = None


@contextmanager
def unit_of_work() -> Iterator[None]:
    """Run one use case in one transaction: all of it is committed at the end, or nothing where an exception leaves.

    Inside another one it is a part of that: undone by itself where an exception leaves it, and otherwise committed, or
    undone, with the whole.
    """
    outer = _running()
    if outer is not None:
        with _part_of(outer):
            yield
        return
    unit = _thread.unit = _UnitOfWork()
    try:
        with connected(), database.atomic():
            yield
    finally:
        _thread.unit = None
    for callback in unit.callbacks:
        callback()


@contextmanager
def _part_of(unit: _UnitOfWork) -> Iterator[None]:
    before = dict(unit.callbacks)
    try:
        with database.atomic():
            yield
    except BaseException:
        unit.callbacks = before
        raise


@contextmanager
def exclusive(name: str) -> Iterator[bool]:
    """Try to become the only holder of `name` among all processes; yields whether it worked, and never waits.

    The lock belongs to the connection (a PostgreSQL advisory lock), so it ends with a process that is killed.
    """
    with connected():
        held = read("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (name,)).fetch_value()
        try:
            yield held
        finally:
            if held and not database.is_closed():
                read("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", (name,))


def read(sql: str, parameters: Any = None) -> Rows:
    """Run a hand-written query in one round trip, past peewee's query builder.

    Inside a unit of work it may also lock rows. Outside one PostgreSQL refuses whatever writes or locks.
    """
    with connected():
        return Rows(database.execute_sql(sql, parameters))  # type: ignore[no-untyped-call]  # peewee leaves it untyped.


def write(sql: str, parameters: Any = None) -> Rows:
    """Run a hand-written statement that writes, in one round trip, as a part of the running unit of work.

    Raises:
        UnitOfWorkMissingError: where none is running; nothing is sent then.
    """
    _require_unit_of_work("write() was called")
    return read(sql, parameters)


def disconnect() -> None:
    """Close this thread's connection, before a fork or at the end of the thread."""
    if not database.is_closed():
        database.close()
