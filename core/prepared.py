"""Statements that PostgreSQL parses and plans once for each connection.

Parsing and planning take most of the time of a short statement: reading one task takes 134 µs prepared and 350 µs
otherwise, and a page of 20 tasks 400 µs and 1,300 µs (both from psycopg2, on one connection). psycopg2 itself cannot
prepare statements, so this uses `PREPARE` and `EXECUTE` of SQL.

A prepared statement has one plan for all values (`plan_cache_mode=force_generic_plan` in `core.db`). By itself
PostgreSQL compares estimates, and estimates that an unknown `LIMIT` returns a tenth of the rows. So it planned an
admin's lists again each time, although the plan stayed the same: with 1,000,000 tasks, 280 µs instead of 170 µs. Such
an estimate would also make it compile the statement to machine code (`jit`), which takes longer than the statement.
"""

import hashlib
import re
from typing import Final

import psycopg2.extensions

_PARAMETER: Final = re.compile(r"%\((\w+)\)s")
# PostgreSQL keeps the plans of each connection in memory.
_LIMIT: Final = 100


class Prepared:
    """A statement with named parameters, such as `%(task_id)s`, and the statements that prepare and execute it.

    Its best plan must not depend on the values. A statement whose best plan does is sent as a plain string.

    PostgreSQL infers the type of each parameter from its first use, unless that is a cast, as in `%(day)s::date`.
    """

    def __init__(self, sql: str) -> None:
        names = list(dict.fromkeys(_PARAMETER.findall(sql)))
        self.sql: Final = sql
        self.name: Final = f"prepared_{hashlib.sha256(sql.encode()).hexdigest()[:16]}"
        numbered = _PARAMETER.sub(lambda found: f"${names.index(found[1]) + 1}", sql)
        self.prepare: Final = f"PREPARE {self.name} AS {numbered}"
        arguments = ", ".join(f"%({name})s" for name in names)
        self.execute: Final = f"EXECUTE {self.name} ({arguments})" if names else f"EXECUTE {self.name}"


class Connection(psycopg2.extensions.connection):
    """A connection that knows which statements were prepared in it."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # psycopg2 passes them.
        self._prepared: set[str] = set()

    def has_prepared(self, statement: Prepared) -> bool:
        """Whether a statement was prepared in this connection."""
        return statement.name in self._prepared

    def has_room(self) -> bool:
        """Whether this connection may prepare one more statement."""
        return len(self._prepared) < _LIMIT

    def note(self, statement: Prepared) -> None:
        """Note that a statement was prepared."""
        self._prepared.add(statement.name)
