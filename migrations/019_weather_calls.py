"""The calls of weather providers, with their failures, and indexes for a search of the places that are known."""

_SCHEMA = """
CREATE TABLE weather_calls (
    provider         varchar(20) PRIMARY KEY,
    day              date        NOT NULL DEFAULT current_date,
    calls            integer     NOT NULL DEFAULT 0,
    -- Those of the calls that were searches of people.
    searches         integer     NOT NULL DEFAULT 0,
    -- Whether the log says that the calls, or the searches, of the day are used up.
    calls_told       boolean     NOT NULL DEFAULT false,
    searches_told    boolean     NOT NULL DEFAULT false,
    -- The failures since the last success, and until when the provider is left alone. After that a single call tries
    -- whether it is well again, until `probe_until`.
    failures         integer     NOT NULL DEFAULT 0,
    open_until       timestamptz,
    probe_until      timestamptz
);

-- Places are searched by the beginning of a name while the provider cannot be asked.
CREATE INDEX place_names_beginning ON place_names (key text_pattern_ops);
CREATE INDEX places_beginning ON places (lower(name) text_pattern_ops);
"""

_ROLLBACK = """
DROP INDEX places_beginning, place_names_beginning;
DROP TABLE weather_calls;
"""


def migrate(migrator, database, *, fake=False):
    """Create the table and the indexes."""
    migrator.sql(_SCHEMA)


def rollback(migrator, database, *, fake=False):
    """Drop them."""
    migrator.sql(_ROLLBACK)
