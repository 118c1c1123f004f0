"""SQL of the tests. It may write outside of a unit of work, and also what no use case would write."""

from typing import Any

import psycopg2

from core import db


def execute(sql: str, parameters: Any = None) -> Any:
    """Run a statement and return its cursor: in the running unit of work, or else on a connection of its own."""
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
    """What a cursor has read, after its connection was closed."""

    def __init__(self, cursor: Any) -> None:
        self.rowcount: int = cursor.rowcount
        self._rows = cursor.fetchall() if cursor.description else []

    def fetchone(self) -> Any:
        """The first row."""
        return self._rows[0] if self._rows else None

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All rows."""
        return self._rows
