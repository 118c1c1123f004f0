"""The result of a statement."""

from typing import Any

Row = tuple[Any, ...]


class Rows:
    """The result of a statement."""

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
        """The first row, or None if there is none."""
        row: Row | None = self._cursor.fetchone()
        return row

    def fetch_exactly_one(self) -> Row:
        """The row of a statement that always returns one, such as an aggregate.

        Raises:
            LookupError: if there is none, which is a mistake in the statement.
        """
        row = self.fetch_one()
        if row is None:
            raise LookupError("A statement that always has a row returned none.")
        return row

    def fetch_value(self) -> Any:
        """The only column of `fetch_exactly_one()`."""
        (value,) = self.fetch_exactly_one()
        return value
