"""Bring the database schema up to date; safe to start from any number of processes at once."""

from pathlib import Path

import psycopg2
from peewee import PostgresqlDatabase
from peewee_migrate import Router

DIRECTORY = Path(__file__).resolve().parent.parent / "migrations"
_LOCK_NAME = "allweather:migrate"


def migrate(database_url: str) -> list[str]:
    """Run the migrations that are still missing, each in a transaction, and return their names.

    The advisory lock makes a second process wait for the first and then find nothing to do.
    """
    guard = psycopg2.connect(database_url)
    guard.autocommit = True
    try:
        guard.cursor().execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", (_LOCK_NAME,))
        database = PostgresqlDatabase(database_url)
        with database.connection_context():
            done: list[str] = Router(database, migrate_dir=DIRECTORY).run()
        return done
    finally:
        guard.close()
