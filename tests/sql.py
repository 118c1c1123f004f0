"""Run SQL in tests. It may write outside a unit of work, and it may write rows that no service would write."""

from typing import Any

import psycopg2

from core import db


def execute(sql: str, parameters: Any = None) -> Any:
    """Run a statement in the current unit of work, or else on a new connection, and return its cursor."""
    if db.is_in_unit_of_work():
        return db.database.execute_sql(sql, parameters)
    connection = psycopg2.connect(db.database.database)
    try:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(sql, parameters or ())
        return _Result(cursor)
    finally:
        connection.close()


class _Result:
    """The rows of a cursor whose connection was closed."""

    def __init__(self, cursor: Any) -> None:
        self.rowcount: int = cursor.rowcount
        self._rows = cursor.fetchall() if cursor.description else []

    def fetchone(self) -> Any:
        """Return the first row, or `None`."""
        return self._rows[0] if self._rows else None

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Return all rows."""
        return self._rows
