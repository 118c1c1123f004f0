"""Whose turn it is, so that the work of one user does not delay that of others."""

# `taken_at` is when the user had a turn with this kind of work for the last time. The table refers to no other, because
# an account may be deleted while its work is being done; old rows are purged.
_SCHEMA = """
CREATE TABLE turns (
    work     varchar(20) NOT NULL,
    user_id  bigint      NOT NULL,
    taken_at timestamptz NOT NULL,
    PRIMARY KEY (work, user_id)
);
CREATE INDEX turns_age ON turns (taken_at);

CREATE INDEX tasks_weather_owner ON tasks (user_id, weather_next_attempt_at) WHERE weather_status = 'pending';
"""


def migrate(migrator, database, *, fake=False):
    """Create the table, and the index that finds the users whose work waits."""
    migrator.sql(_SCHEMA)


def rollback(migrator, database, *, fake=False):
    """Drop the table and the index."""
    migrator.sql("DROP INDEX tasks_weather_owner; DROP TABLE turns")
