"""What a backup needs to know of the database: its tables in the order of their references, and its sequences."""

from contextlib import closing
from graphlib import TopologicalSorter
from typing import Any, Final

import psycopg2
from psycopg2 import sql

from core.backup.archive import BackupError, TableData

# These are made by the migrations, and not copied.
_HISTORY: Final = "migratehistory"
_STATE: Final = "event_log_state"
_OURS: Final = "allweather-backup"

_TABLES: Final = """
SELECT c.relname, array_agg(a.attname::text ORDER BY a.attnum)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND c.relname <> %s
GROUP BY c.relname
"""
_REFERENCES: Final = """
SELECT DISTINCT conrelid::regclass::text, confrelid::regclass::text FROM pg_constraint
WHERE contype = 'f' AND connamespace = 'public'::regnamespace AND conrelid <> confrelid
"""
_SEQUENCES: Final = "SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = 'public' AND last_value > 0"
_PROCESSES: Final = """
SELECT DISTINCT application_name FROM pg_stat_activity
WHERE datname = current_database() AND application_name IN ('allweather-web', 'allweather-worker', 'allweather-beat')
"""
_FUNCTIONS: Final = """
SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e')
"""


def connect(url: str) -> Any:
    """Return a connection without time limits; the caller closes it.

    Raises:
        BackupError: if PostgreSQL cannot be reached.
    """
    try:
        return closing(psycopg2.connect(url, application_name=_OURS, connect_timeout=5))
    except psycopg2.OperationalError as error:
        raise BackupError(f"PostgreSQL cannot be reached: {error}") from None


def migrations_of(cursor: Any) -> list[str]:
    """Return the migrations of the database, in their order; none if it was never migrated."""
    cursor.execute("SELECT to_regclass(%s) IS NOT NULL", (f"public.{_HISTORY}",))
    if not cursor.fetchone()[0]:
        return []
    cursor.execute(sql.SQL("SELECT name FROM {} ORDER BY name").format(sql.Identifier(_HISTORY)))
    return [name for (name,) in cursor.fetchall()]


def tables_of(cursor: Any) -> list[TableData]:
    """Return all tables with their columns, each table after those that it refers to."""
    cursor.execute(_TABLES, (_HISTORY,))
    columns = dict(cursor.fetchall())
    cursor.execute(_REFERENCES)
    sorter: TopologicalSorter[str] = TopologicalSorter(dict.fromkeys(sorted(columns), ()))
    for table, referred in sorted(cursor.fetchall()):
        sorter.add(table, referred)
    return [TableData(name, columns[name]) for name in sorter.static_order()]


def sequences_of(cursor: Any) -> dict[str, int]:
    """Return the last values of the sequences that were used."""
    cursor.execute(_SEQUENCES)
    return dict(cursor.fetchall())


def holds_data(cursor: Any) -> bool:
    """Whether any table has a row that the migrations have not made."""
    for table in tables_of(cursor):
        if table.name != _STATE:
            cursor.execute(sql.SQL("SELECT EXISTS (SELECT FROM {})").format(sql.Identifier(table.name)))
            if cursor.fetchone()[0]:
                return True
    return False


def running_processes(cursor: Any) -> list[str]:
    """Return which processes of Allweather are connected."""
    cursor.execute(_PROCESSES)
    return sorted(name.removeprefix("allweather-") for (name,) in cursor.fetchall())


def drop_everything(cursor: Any) -> None:
    """Drop all tables and functions of Allweather."""
    for table in [*tables_of(cursor), TableData(_HISTORY, [])]:
        cursor.execute(sql.SQL("DROP TABLE IF EXISTS {} CASCADE").format(sql.Identifier(table.name)))
    cursor.execute(_FUNCTIONS)
    for (function,) in cursor.fetchall():
        cursor.execute(f"DROP FUNCTION {function}")


def copy_out(table: TableData) -> Any:
    """Return the COPY that writes a table's columns to the client."""
    # A table with partitions can only be copied as the result of a query.
    return sql.SQL("COPY (SELECT {columns} FROM {name}) TO STDOUT").format(**_named(table))


def copy_in(table: TableData) -> Any:
    """Return the COPY that reads a table's columns from the client."""
    return sql.SQL("COPY {name} ({columns}) FROM STDIN").format(**_named(table))


def _named(table: TableData) -> dict[str, Any]:
    columns = sql.SQL(", ").join(map(sql.Identifier, table.columns))
    return {"name": sql.Identifier(table.name), "columns": columns}
