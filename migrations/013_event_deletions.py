"""An index of the events that say that a task was deleted."""


def migrate(migrator, database, *, fake=False):
    """Add the index, with which the last readers of a deleted task are found."""
    migrator.sql("CREATE INDEX events_deletions ON events (task_id) WHERE type = 'task.deleted'")


def rollback(migrator, database, *, fake=False):
    """Drop the index."""
    migrator.sql("DROP INDEX events_deletions")
