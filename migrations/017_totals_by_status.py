"""The totals of users by status, and triggers that add to them once for each statement."""

# Analytics without a range of days read the totals instead of adding up days. The number of all tasks of a user is
# computed from those by status.
_COLUMNS = """
LOCK TABLE analytics_rollups IN SHARE ROW EXCLUSIVE MODE;
ALTER TABLE task_totals
    ADD COLUMN todo        bigint NOT NULL DEFAULT 0,
    ADD COLUMN in_progress bigint NOT NULL DEFAULT 0,
    ADD COLUMN done        bigint NOT NULL DEFAULT 0,
    DROP COLUMN tasks;
ALTER TABLE task_totals ADD COLUMN tasks bigint NOT NULL GENERATED ALWAYS AS (todo + in_progress + done) STORED;
"""

_SUMS = """
    coalesce(sum(tasks) FILTER (WHERE status = 'todo'), 0),
    coalesce(sum(tasks) FILTER (WHERE status = 'in_progress'), 0),
    coalesce(sum(tasks) FILTER (WHERE status = 'done'), 0)"""

_COUNT_AGAIN = f"""
DELETE FROM task_totals;
INSERT INTO task_totals (user_id, todo, in_progress, done)
SELECT user_id, {_SUMS} FROM analytics_rollups GROUP BY user_id;
"""

# A trigger for each row updated the same total once for each day, which made it slow to rebuild the figures. An
# insertion that updates some rows runs two triggers, one for its new rows and one for the updated ones. Each locks the
# totals of several users, so without the common lock two such insertions could wait for each other.
_TRIGGER = """
CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('task_totals', 0));
    INSERT INTO task_totals AS t (user_id, todo, in_progress, done)
    SELECT user_id, {sums} FROM ({changes}) changes GROUP BY user_id
    ON CONFLICT (user_id) DO UPDATE SET todo = t.todo + excluded.todo,
        in_progress = t.in_progress + excluded.in_progress, done = t.done + excluded.done;
    RETURN NULL;
END $$;
CREATE TRIGGER {name} AFTER {event} ON analytics_rollups REFERENCING {tables}
    FOR EACH STATEMENT EXECUTE FUNCTION {name}();
"""

_ADDED = "SELECT user_id, status, tasks FROM added"
_REMOVED = "SELECT user_id, status, -tasks AS tasks FROM removed"
_TRIGGERS = (
    ("count_added_rollups", "INSERT", "NEW TABLE AS added", _ADDED),
    ("count_removed_rollups", "DELETE", "OLD TABLE AS removed", _REMOVED),
    ("count_changed_rollups", "UPDATE", "NEW TABLE AS added OLD TABLE AS removed", f"{_ADDED} UNION ALL {_REMOVED}"),
)

_DROP_TRIGGER_OF_ROWS = """
DROP TRIGGER analytics_rollups_totals ON analytics_rollups;
DROP FUNCTION add_to_task_totals;
"""

_ROLLBACK = """
LOCK TABLE analytics_rollups IN SHARE ROW EXCLUSIVE MODE;
ALTER TABLE task_totals ALTER COLUMN tasks DROP EXPRESSION;
ALTER TABLE task_totals DROP COLUMN todo, DROP COLUMN in_progress, DROP COLUMN done;

CREATE FUNCTION add_to_task_totals() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        UPDATE task_totals SET tasks = tasks - OLD.tasks WHERE user_id = OLD.user_id;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO task_totals AS t (user_id, tasks) VALUES (NEW.user_id, NEW.tasks)
        ON CONFLICT (user_id) DO UPDATE SET tasks = t.tasks + excluded.tasks;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER analytics_rollups_totals AFTER INSERT OR UPDATE OR DELETE ON analytics_rollups
    FOR EACH ROW EXECUTE FUNCTION add_to_task_totals();
"""


def migrate(migrator, database, *, fake=False):
    """Add the columns, count what is folded already, and replace the trigger."""
    migrator.sql(_COLUMNS)
    migrator.sql(_COUNT_AGAIN)
    migrator.sql(_DROP_TRIGGER_OF_ROWS)
    for name, event, tables, changes in _TRIGGERS:
        migrator.sql(_TRIGGER.format(name=name, event=event, tables=tables, changes=changes, sums=_SUMS))


def rollback(migrator, database, *, fake=False):
    """Restore the totals without statuses, and their trigger."""
    for name, *_ in _TRIGGERS:
        migrator.sql(f"DROP TRIGGER {name} ON analytics_rollups; DROP FUNCTION {name};")
    migrator.sql(_ROLLBACK)
