"""How many new places the tasks of each user had on a day."""

# The table refers to no other, because an account may be deleted while its work is being done; old rows are purged.
_SCHEMA = """
CREATE TABLE weather_new_places (
    user_id bigint  NOT NULL,
    day     date    NOT NULL,
    places  integer NOT NULL,
    PRIMARY KEY (user_id, day)
);
"""


def migrate(migrator, database, *, fake=False):
    """Create the table."""
    migrator.sql(_SCHEMA)


def rollback(migrator, database, *, fake=False):
    """Drop it."""
    migrator.sql("DROP TABLE weather_new_places")
