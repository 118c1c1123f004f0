"""The state of a running unit of work. Only `core.db` uses this module."""

from collections.abc import Callable

import structlog

log = structlog.get_logger()


class UnitOfWork:
    """A running unit of work: how its transaction begins, and the functions to call after the commit, in this order.

    The transaction begins together with the first statement, which saves a round trip.
    """

    def __init__(self, opening: str) -> None:
        self.callbacks: dict[Callable[[], object], None] = {}
        self.is_begun = False
        self._opening = opening

    def begin(self, sql: str) -> str:
        """Return the statement that is to be sent for the given one, which is the first."""
        self.is_begun = True
        return f"{self._opening};{sql}"

    def call_back(self) -> None:
        """Call the functions, because the transaction has been committed."""
        for callback in self.callbacks:
            try:
                callback()
            except Exception:
                log.exception("after_commit_failed")


class UnitOfOneStatement(UnitOfWork):
    """A unit of work whose only statement PostgreSQL commits by itself."""
