"""The calls of weather providers, weather at places that were chosen, and a search of the places that are known."""

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

-- A task has weather also if its place was chosen, without a city.
ALTER TABLE tasks DROP CONSTRAINT tasks_check, ADD CONSTRAINT tasks_check CHECK (CASE
    WHEN weather_status IS NULL THEN city IS NULL ELSE city IS NOT NULL OR place_id IS NOT NULL END);

-- Places are searched by the beginning of a name while the provider cannot be asked.
CREATE INDEX place_names_beginning ON place_names (key text_pattern_ops);
CREATE INDEX places_beginning ON places (lower(name) text_pattern_ops);
"""

_ROLLBACK = """
UPDATE tasks SET weather = NULL, weather_status = NULL, weather_next_attempt_at = NULL WHERE city IS NULL;
ALTER TABLE tasks DROP CONSTRAINT tasks_check,
    ADD CONSTRAINT tasks_check CHECK ((city IS NULL) = (weather_status IS NULL));
DROP INDEX places_beginning, place_names_beginning;
DROP TABLE weather_calls;
"""


def migrate(migrator, database, *, fake=False):
    """Create the table and the indexes, and let tasks without a city have weather."""
    migrator.sql(_SCHEMA)


def rollback(migrator, database, *, fake=False):
    """Undo this; the weather of tasks without a city is lost."""
    migrator.sql(_ROLLBACK)
