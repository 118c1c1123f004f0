"""The end of the access token that bought a ticket."""

# A ticket without this time was bought with a token that does not expire, or by the version before.
_SCHEMA = "ALTER TABLE ws_tickets ADD COLUMN token_expires_at timestamptz"


def migrate(migrator, database, *, fake=False):
    """Add the column."""
    migrator.sql(_SCHEMA)


def rollback(migrator, database, *, fake=False):
    """Drop the column."""
    migrator.sql("ALTER TABLE ws_tickets DROP COLUMN token_expires_at")
