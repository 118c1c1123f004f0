"""Run SQL in tests. It may write outside a unit of work, and it may write rows that no service would write."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2

from core import db

# Open connections that no thread uses, for each database. The first statements on a new connection are slow, because
# PostgreSQL starts a process and reads its catalogs for each connection.
_idle: defaultdict[str, list[Any]] = defaultdict(list)


def execute(sql: str, parameters: Any = None) -> Any:
    """Run a statement in the current unit of work, or else on a connection of its own, and return its cursor.

    Outside a unit of work the connection serves later statements too, so a statement must not change its session.
    """
    if db.is_in_unit_of_work():
        return db.database.execute_sql(sql, parameters)
    with _connection(db.database.database) as connection:
        cursor = connection.cursor()
        cursor.execute(sql, parameters or ())
        return _Result(cursor)


def close_connections(url: str) -> None:
    """Close the connections to this database, so that it can be dropped."""
    for connection in _idle.pop(url, []):
        connection.close()


@contextmanager
def _connection(url: str) -> Iterator[Any]:
    """Lend a connection to this database. After an error it is closed, because it may be lost."""
    try:
        connection = _idle[url].pop()
    except IndexError:
        connection = psycopg2.connect(url)
    try:
        connection.autocommit = True
        yield connection
    except BaseException:
        connection.close()
        raise
    _idle[url].append(connection)


class _Result:
    """The rows of a cursor, which another statement on its connection does not change."""

    def __init__(self, cursor: Any) -> None:
        self.rowcount: int = cursor.rowcount
        self._rows = cursor.fetchall() if cursor.description else []

    def fetchone(self) -> Any:
        """Return the first row, or `None`."""
        return self._rows[0] if self._rows else None

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Return all rows."""
        return self._rows
