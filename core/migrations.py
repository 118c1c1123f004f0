"""Bring the database schema up to date; safe to start from any number of processes at once."""

from pathlib import Path

import psycopg2
from peewee import PostgresqlDatabase
from peewee_migrate import Router

DIRECTORY = Path(__file__).resolve().parent.parent / "migrations"
_LOCK_NAME = "allweather:migrate"


def known_migrations() -> list[str]:
    """Return the names of all migrations of this version, in their order."""
    return sorted(path.stem for path in DIRECTORY.glob("[0-9][0-9][0-9]_*.py"))


def migrate(database_url: str, last: str | None = None) -> list[str]:
    """Run the migrations that are still missing, each in a transaction, and return their names.

    With `last`, none that follow it are run. The advisory lock makes a second process wait for the first and then find
    nothing to do.
    """
    guard = psycopg2.connect(database_url)
    guard.autocommit = True
    try:
        guard.cursor().execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", (_LOCK_NAME,))
        database = PostgresqlDatabase(database_url)
        with database.connection_context():
            done: list[str] = Router(database, migrate_dir=DIRECTORY).run(last)
        return done
    finally:
        guard.close()
