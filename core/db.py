"""The database: `unit_of_work()`, the only place that commits, and `read()` and `write()` for hand-written SQL.

Outside a unit of work the database can be read, but not changed. `write()`, peewee's queries that write, peewee's
transactions and `after_commit()` then raise `UnitOfWorkMissingError` before anything is sent. PostgreSQL itself refuses
any other statement that writes: sessions are read-only, and only a unit of work begins a transaction that may write.

Each thread keeps one connection until it ends: that is cheaper than a pool, and `connected()` replaces it when the
server has closed it in the meantime.
"""

import select
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from peewee import (
    InterfaceError,
    InternalError,
    NotSupportedError,
    OperationalError,
    PostgresqlDatabase,
    Query,
    SelectQuery,
)

from core.prepared import Connection, Prepared
from core.rows import Rows
from core.units import UnitOfOneStatement, UnitOfWork

log = structlog.get_logger()

_BEGIN = "BEGIN READ WRITE"
# PostgreSQL runs statements that are sent together in one transaction.
_WRITE_ONCE = "SET TRANSACTION READ WRITE"
_CONNECT_SECONDS = 3
_KEEPALIVE: dict[str, Any] = {"keepalives": 1, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}


class UnitOfWorkMissingError(RuntimeError):
    """Something that needs a unit of work was called outside one. This is a mistake in the code, so do not catch it.

    Nothing has been sent to the database.
    """

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} outside a unit of work. Call it inside `with core.db.unit_of_work():`.")


class _Thread(threading.local):
    """The state of the current thread; in each thread it begins with these values."""

    unit: UnitOfWork | None = None
    is_connected: bool = False


_thread = _Thread()


class _Database(PostgresqlDatabase):
    """peewee's database, in which only a unit of work can write."""

    def begin(self, isolation_level: object = None) -> None:  # noqa: ARG002 - peewee passes it; there is one level here.
        """Require a unit of work, which begins the transaction together with its first statement."""
        _require_unit_of_work("A transaction was begun")

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        """Run a statement, and begin the transaction of the unit of work first if that is still to be done.

        Raises:
            RuntimeError: if this is the second statement of a unit of one statement.
        """
        unit = _thread.unit
        if unit is not None:
            if not unit.is_begun:
                sql = unit.begin(sql)
            elif isinstance(unit, UnitOfOneStatement):
                raise RuntimeError("A unit of one statement was used for two. The first is committed already.")
        return super().execute_sql(sql, params)  # type: ignore[no-untyped-call]  # peewee leaves it untyped.

    def prepare(self, statement: Prepared) -> None:
        """Prepare a statement, which PostgreSQL does outside of transactions."""
        super().execute_sql(statement.prepare)  # type: ignore[no-untyped-call]  # peewee leaves it untyped.

    def rollback(self) -> None:
        """Roll the transaction back, if it was begun."""
        if _thread.unit is not None and _thread.unit.is_begun:
            super().rollback()

    def commit(self) -> None:
        """Commit the transaction.

        Raises:
            InternalError: if a statement had failed and its error was caught. PostgreSQL then rolls back instead of
                committing, and reports no error.
        """
        if not _require_unit_of_work("A transaction was committed").is_begun:
            return
        cursor = self.execute_sql("COMMIT")
        if cursor.statusmessage != "COMMIT":
            raise InternalError(
                "A statement of this unit of work failed and its error was caught, so nothing was committed. Put it "
                "into a `with core.db.unit_of_work():` of its own inside this one, and catch the error around that."
            )

    def execute(self, query: Query, **options: Any) -> Any:
        """Run a query of peewee."""
        if not isinstance(query, SelectQuery):
            _require_unit_of_work("A query that writes was executed")
        return super().execute(query, **options)  # type: ignore[no-untyped-call]  # peewee leaves it untyped.


database = _Database(None)


def configure(url: str, *, application: str, statement_seconds: float) -> None:
    """Point this process at its database; no connection is made yet.

    `statement_seconds` bounds every statement and every wait for a lock on the server's side. `application` is the
    name under which `pg_stat_activity` shows the process.
    """
    milliseconds = int(statement_seconds * 1000)
    database.init(
        url,
        application_name=f"allweather-{application}",
        connection_factory=Connection,
        connect_timeout=_CONNECT_SECONDS,
        tcp_user_timeout=milliseconds,
        options=(
            f"-c timezone=UTC -c default_transaction_read_only=on -c plan_cache_mode=force_generic_plan -c jit=off"
            f" -c statement_timeout={milliseconds} -c lock_timeout={milliseconds}"
            f" -c idle_in_transaction_session_timeout={milliseconds * 2}"
        ),
        **_KEEPALIVE,
    )


def _connection() -> Any:
    return database.connection()  # type: ignore[no-untyped-call]  # peewee leaves it untyped.


def _closed_by_server(connection: Any) -> bool:
    """Whether the server has closed an idle connection, found out without a round trip.

    A server that ends an idle connection sends a message or closes the socket. Both make the socket readable, and a
    healthy idle connection has nothing to read.
    """
    if connection.closed:
        return True
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


@contextmanager
def connected() -> Iterator[None]:
    """Give the thread its connection, and replace it first if the server has closed it.

    Everything inside the block uses the same connection, so a lock or a transaction of that connection stays valid in
    the whole block. If the connection fails inside, it is closed when the block ends, and the next use makes a new one.

    Raises:
        OperationalError: if the connection fails, or if PostgreSQL refuses a prepared statement because a migration has
            changed the type of its result. It would refuse the statement in this connection for ever.
    """
    if _thread.is_connected:
        yield
        return
    if not database.is_closed() and _closed_by_server(_connection()):
        database.close()
    database.connect(reuse_if_open=True)
    _thread.is_connected = True
    try:
        yield
    except (OperationalError, InterfaceError):
        database.close()
        raise
    except NotSupportedError as error:
        database.close()
        raise OperationalError(*error.args) from error
    finally:
        _thread.is_connected = False


def is_in_unit_of_work() -> bool:
    """Whether this thread is inside a unit of work."""
    return _thread.unit is not None


def _require_unit_of_work(what: str) -> UnitOfWork:
    if _thread.unit is None:
        raise UnitOfWorkMissingError(what)
    return _thread.unit


def after_commit(callback: Callable[[], object]) -> None:
    """Call a function after the running unit of work has committed. Registered several times, it is called only once.

    The change is already committed then, so an error of the function is only logged and not raised.

    Raises:
        UnitOfWorkMissingError: if no unit of work is running.
    """
    _require_unit_of_work("after_commit() was called").callbacks[callback] = None


@contextmanager
def unit_of_work() -> Iterator[None]:
    """Run one use case in one transaction: all of it is committed at the end, or nothing if an exception is raised.

    Inside another unit of work it is a part of that one: an exception in the part undoes only the part, and the changes
    of the part are committed or undone together with the outer unit of work.

    Raises:
        InternalError: if a statement had failed and its error was caught inside. Nothing is committed then.
    """
    if _thread.unit is not None:
        with _part_of(_thread.unit):
            yield
        return
    unit = _thread.unit = UnitOfWork(_BEGIN)
    try:
        with connected(), database.atomic():
            yield
    finally:
        _thread.unit = None
    unit.call_back()


@contextmanager
def unit_of_one_statement() -> Iterator[None]:
    """Run one statement that is a whole unit of work. It takes one round trip, because PostgreSQL commits it by itself.

    Inside another unit of work it is a part of that one, as with `unit_of_work()`.

    Raises:
        RuntimeError: if a second statement is sent.
    """
    if _thread.unit is not None:
        with _part_of(_thread.unit):
            yield
        return
    unit = _thread.unit = UnitOfOneStatement(_WRITE_ONCE)
    try:
        with connected():
            yield
    finally:
        _thread.unit = None
    unit.call_back()


@contextmanager
def _part_of(unit: UnitOfWork) -> Iterator[None]:
    """A savepoint; if it is undone, the functions that the part has registered are not called."""
    before = dict(unit.callbacks)
    try:
        with database.atomic():
            yield
    except BaseException:
        unit.callbacks = before
        raise


@contextmanager
def exclusive(name: str) -> Iterator[bool]:
    """Try to take the lock `name`, which only one process can hold; yields whether it worked, and never waits.

    The lock belongs to the connection (a PostgreSQL advisory lock), so it is also released if the process is
    killed. Inside the block the connection is not replaced: if it is lost, the lock is lost too, and the next statement
    fails.
    """
    with connected():
        held = read("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (name,)).fetch_value()
        try:
            yield held
        finally:
            if held and not _connection().closed:
                read("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", (name,))


def read(sql: str | Prepared, parameters: Any = None) -> Rows:
    """Run a hand-written query in one round trip, without peewee's query builder.

    Inside a unit of work it may also lock rows. Outside a unit of work PostgreSQL refuses to write or to lock rows. The
    first time that a connection runs a prepared statement takes a second round trip.
    """
    with connected():
        text = sql if isinstance(sql, str) else _prepared(sql)
        return Rows(database.execute_sql(text, parameters))


def _prepared(statement: Prepared) -> str:
    """Return what executes a statement in this thread's connection, and prepare it there first if that is needed."""
    connection: Connection = _connection()
    if not connection.has_prepared(statement):
        if not connection.has_room():
            return statement.sql
        database.prepare(statement)
        connection.note(statement)
    return statement.execute


def write(sql: str | Prepared, parameters: Any = None) -> Rows:
    """Run a hand-written statement that writes, in one round trip, as a part of the running unit of work.

    Raises:
        UnitOfWorkMissingError: if no unit of work is running; nothing is sent then.
    """
    _require_unit_of_work("write() was called")
    return read(sql, parameters)


def disconnect() -> None:
    """Close this thread's connection, before a fork or at the end of the thread."""
    if not database.is_closed():
        database.close()
