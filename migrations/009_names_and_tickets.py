"""The keys by which names are compared, and the end of the access token that bought a ticket."""

from core.names import name_key

# A key is null if the row was written by the version before, or if an older account has the same key, which was
# possible in that version. Such an account is found by its exact name, in any case. A ticket without a time was bought
# with a token that does not expire, or by the version before.
_SCHEMA = """
ALTER TABLE users ADD COLUMN username_key text, ADD COLUMN email_key text;
ALTER TABLE ws_tickets ADD COLUMN token_expires_at timestamptz;
"""

_FILL = """
UPDATE users SET {column}_key = filled.key FROM unnest(%s::bigint[], %s::text[]) AS filled (id, key)
WHERE users.id = filled.id
"""

# The version before may change a name while it still runs, without its key. The key of the old name must not stay.
_INDEXES = """
CREATE UNIQUE INDEX users_username_key ON users (username_key);
CREATE UNIQUE INDEX users_email_key ON users (email_key);

CREATE FUNCTION forget_stale_name_keys() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF lower(NEW.username) <> lower(OLD.username) AND NEW.username_key = OLD.username_key THEN
        NEW.username_key := NULL;
    END IF;
    IF lower(NEW.email) IS DISTINCT FROM lower(OLD.email) AND NEW.email_key = OLD.email_key THEN
        NEW.email_key := NULL;
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER users_stale_name_keys BEFORE UPDATE OF username, email ON users
    FOR EACH ROW EXECUTE FUNCTION forget_stale_name_keys();
"""


def migrate(migrator, database, *, fake=False):
    """Add the columns, and fill the keys of the names."""
    migrator.sql(_SCHEMA)
    migrator.run(_fill_keys, database)
    migrator.sql(_INDEXES)


def rollback(migrator, database, *, fake=False):
    """Drop the columns."""
    migrator.sql(
        "ALTER TABLE ws_tickets DROP COLUMN token_expires_at;"
        "DROP TRIGGER users_stale_name_keys ON users; DROP FUNCTION forget_stale_name_keys;"
        "ALTER TABLE users DROP COLUMN username_key, DROP COLUMN email_key"
    )


def _fill_keys(database):
    for column in ("username", "email"):
        query = f"SELECT id, {column} FROM users WHERE {column} IS NOT NULL ORDER BY id"
        owners = {}
        for user_id, name in database.execute_sql(query).fetchall():
            owners.setdefault(name_key(name), user_id)
        database.execute_sql(_FILL.format(column=column), (list(owners.values()), list(owners.keys())))
