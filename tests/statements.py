"""Record the statements that the code sends to the database."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from psycopg2.extensions import cursor

from core import db


@contextmanager
def statements_sent() -> Iterator[list[str]]:
    """Collect the statements that this thread sends inside the block, in order; each is one round trip."""
    statements: list[str] = []

    class Recorder(cursor):
        def execute(self, query: Any, parameters: Any = None) -> Any:
            statements.append(query)
            return super().execute(query, parameters)

    with db.connected():
        connection = db.database.connection()
    connection.cursor_factory = Recorder
    try:
        yield statements
    finally:
        connection.cursor_factory = None
