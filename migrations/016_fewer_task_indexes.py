"""Fewer indexes of tasks, and an index of the waiting deltas by their user."""

# These served only lists that an admin sorts by something other than the creation, or filters by one of a few statuses
# or priorities. Other users sort their own tasks, which another index finds. Each of them cost every insert, and
# `tasks_updated` also kept PostgreSQL from changing a row without a new entry in every index (a HOT update).
_SCHEMA = """
DROP INDEX tasks_due, tasks_due_last, tasks_due_at, tasks_status, tasks_priority, tasks_title, tasks_updated;
CREATE INDEX analytics_deltas_user ON analytics_deltas (user_id);
"""

_ROLLBACK = """
DROP INDEX analytics_deltas_user;
CREATE INDEX tasks_due ON tasks (coalesce(due_at, 'infinity'), id);
CREATE INDEX tasks_due_last ON tasks (coalesce(due_at, '-infinity'), id);
CREATE INDEX tasks_due_at ON tasks (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX tasks_status ON tasks (array_position(ARRAY['todo', 'in_progress', 'done'], status::text), id);
CREATE INDEX tasks_priority ON tasks (array_position(ARRAY['low', 'medium', 'high', 'urgent'], priority::text), id);
CREATE INDEX tasks_title ON tasks (title, id);
CREATE INDEX tasks_updated ON tasks (updated_at, id);
"""


def migrate(migrator, database, *, fake=False):
    """Drop the indexes, and create the one of the deltas."""
    migrator.sql(_SCHEMA)


def rollback(migrator, database, *, fake=False):
    """Create the indexes again, and drop the one of the deltas."""
    migrator.sql(_ROLLBACK)
