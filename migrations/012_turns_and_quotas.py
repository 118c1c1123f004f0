"""Whose turn it is, so that the work of one user does not delay that of others; and what quotas are counted by."""

# `taken_at` is when the user had a turn with this kind of work for the last time. The table refers to no other, because
# an account may be deleted while its work is being done; old rows are purged.
_TURNS = """
CREATE TABLE turns (
    work     varchar(20) NOT NULL,
    user_id  bigint      NOT NULL,
    taken_at timestamptz NOT NULL,
    PRIMARY KEY (work, user_id)
);
CREATE INDEX turns_age ON turns (taken_at);

CREATE INDEX tasks_weather_owner ON tasks (user_id, weather_next_attempt_at) WHERE weather_status = 'pending';
"""

# How many tasks a user has, as far as the deltas of the figures have been folded. A trigger counts, so that it does not
# matter which version of the code folds.
_TASKS = """
CREATE TABLE task_totals (
    user_id bigint PRIMARY KEY,
    tasks   bigint NOT NULL
);

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
INSERT INTO task_totals (user_id, tasks) SELECT user_id, sum(tasks) FROM analytics_rollups GROUP BY user_id;
"""

# The creator of a group became a member in the transaction that made the group, so both have the same time. Groups that
# the version before makes while it still runs have no creator, and count for nobody.
_GROUPS_AND_COMMENTS = """
ALTER TABLE groups ADD COLUMN creator_id bigint REFERENCES users ON DELETE SET NULL;
UPDATE groups g SET creator_id = m.user_id FROM group_members m
WHERE m.group_id = g.id AND m.is_manager AND m.joined_at = g.created_at;
CREATE INDEX groups_creator ON groups (creator_id) WHERE creator_id IS NOT NULL;

CREATE INDEX comments_author ON comments (user_id) WHERE user_id IS NOT NULL;
"""

_ROLLBACK = """
DROP INDEX comments_author;
ALTER TABLE groups DROP COLUMN creator_id;
DROP TRIGGER analytics_rollups_totals ON analytics_rollups;
DROP FUNCTION add_to_task_totals;
DROP TABLE task_totals;
DROP INDEX tasks_weather_owner;
DROP TABLE turns;
"""


def migrate(migrator, database, *, fake=False):
    """Create the tables, the column, the trigger and the indexes."""
    migrator.sql(_TURNS)
    migrator.sql(_TASKS)
    migrator.sql(_GROUPS_AND_COMMENTS)


def rollback(migrator, database, *, fake=False):
    """Drop them."""
    migrator.sql(_ROLLBACK)
