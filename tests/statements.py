"""Record the statements that the code sends to the database."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from psycopg2.extensions import cursor

from core import db


def statements_sent() -> AbstractContextManager[list[str]]:
    """Collect the statements that this thread sends inside the block, in order; each is one round trip."""
    return _recorded(lambda _, query, __: str(query))


def statements_with_values() -> AbstractContextManager[list[str]]:
    """Collect the same statements with the values of their parameters in the text."""
    return _recorded(lambda used, query, parameters: used.mogrify(query, parameters).decode())


@contextmanager
def _recorded(text: Callable[[cursor, Any, Any], str]) -> Iterator[list[str]]:
    statements: list[str] = []

    class Recorder(cursor):
        def execute(self, query: Any, parameters: Any = None) -> Any:
            statements.append(text(self, query, parameters))
            return super().execute(query, parameters)

    with db.connected():
        connection = db.database.connection()
    connection.cursor_factory = Recorder
    try:
        yield statements
    finally:
        connection.cursor_factory = None
