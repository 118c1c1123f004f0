"""Full-text search, an index for every list of tasks, and idempotency keys."""

_SCHEMA = """
ALTER TABLE tasks ADD COLUMN search tsvector NOT NULL GENERATED ALWAYS AS (
    setweight(to_tsvector('simple', title), 'A') || setweight(to_tsvector('simple', coalesce(description, '')), 'B')
) STORED;
CREATE INDEX tasks_search ON tasks USING gin (search);

-- Indexes for the lists of admins, who see all tasks. For a rank, and for a deadline that may be missing, a list must
-- sort by exactly the expression of the index (core.services.task_lists).
CREATE INDEX tasks_due ON tasks (coalesce(due_at, 'infinity'), id);
CREATE INDEX tasks_due_last ON tasks (coalesce(due_at, '-infinity'), id);
CREATE INDEX tasks_due_at ON tasks (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX tasks_status ON tasks (array_position(ARRAY['todo', 'in_progress', 'done'], status::text), id);
CREATE INDEX tasks_priority ON tasks (array_position(ARRAY['low', 'medium', 'high', 'urgent'], priority::text), id);
CREATE INDEX tasks_title ON tasks (title, id);
CREATE INDEX tasks_updated ON tasks (updated_at, id);
CREATE INDEX tasks_city ON tasks (city_key, created_at DESC, id DESC) WHERE city_key IS NOT NULL;

CREATE TABLE idempotency_keys (
    user_id     bigint       NOT NULL REFERENCES users ON DELETE CASCADE,
    route       varchar(200) NOT NULL,
    key         varchar(255) NOT NULL,
    fingerprint bytea        NOT NULL,
    created_id  bigint       NOT NULL,
    version     integer      NOT NULL,
    document    text         NOT NULL,
    created_at  timestamptz  NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, route, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);
"""

_ROLLBACK = """
DROP TABLE idempotency_keys;
DROP INDEX tasks_due, tasks_due_last, tasks_due_at, tasks_status, tasks_priority, tasks_title, tasks_updated,
    tasks_city;
ALTER TABLE tasks DROP COLUMN search;
"""


def migrate(migrator, database, *, fake=False):
    """Create the column, the indexes and the table."""
    migrator.sql(_SCHEMA)


def rollback(migrator, database, *, fake=False):
    """Drop the column, the indexes and the table."""
    migrator.sql(_ROLLBACK)
