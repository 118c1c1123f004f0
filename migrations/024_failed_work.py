"""Why work has failed and since when, and a view of all work that failed."""

_SCHEMA = """
ALTER TABLE tasks         ADD COLUMN weather_error text, ADD COLUMN weather_failing_since timestamptz;
ALTER TABLE notifications ADD COLUMN mail_error    text, ADD COLUMN mail_failing_since    timestamptz;
ALTER TABLE account_mails ADD COLUMN mail_error    text, ADD COLUMN mail_failing_since    timestamptz;

-- Only rows that have failed are in these indexes.
CREATE INDEX tasks_weather_failing ON tasks (weather_failing_since) WHERE weather_failing_since IS NOT NULL;
CREATE INDEX notifications_mail_failing ON notifications (mail_failing_since) WHERE mail_failing_since IS NOT NULL;
CREATE INDEX account_mails_mail_failing ON account_mails (mail_failing_since) WHERE mail_failing_since IS NOT NULL;

-- Why these were given up is only in the log.
UPDATE notifications SET mail_error = 'not recorded', mail_failing_since = created_at WHERE mail_status = 'dead';
UPDATE account_mails SET mail_error = 'not recorded', mail_failing_since = created_at WHERE mail_status = 'dead';

CREATE VIEW failed_work AS
SELECT 'weather'::text AS kind, id, CASE weather_status WHEN 'pending' THEN 'waiting' ELSE 'given_up' END AS state,
       city::text AS what, id AS task_id, user_id, NULL::text AS recipient, weather_error AS reason,
       weather_attempts AS attempts,
       CASE weather_status WHEN 'pending' THEN weather_next_attempt_at END AS next_attempt_at,
       weather_failing_since AS since
FROM tasks WHERE weather_failing_since IS NOT NULL AND weather_status IN ('pending', 'unavailable')
UNION ALL
SELECT 'notification_mail', id, CASE mail_status WHEN 'pending' THEN 'waiting' ELSE 'given_up' END,
       kind, task_id, user_id, (SELECT email FROM users WHERE users.id = user_id), mail_error,
       mail_attempts, CASE mail_status WHEN 'pending' THEN mail_next_attempt_at END, mail_failing_since
FROM notifications WHERE mail_failing_since IS NOT NULL AND mail_status IN ('pending', 'dead')
UNION ALL
SELECT 'account_mail', id, CASE mail_status WHEN 'pending' THEN 'waiting' ELSE 'given_up' END,
       kind, NULL, user_id, recipient, mail_error,
       mail_attempts, CASE mail_status WHEN 'pending' THEN mail_next_attempt_at END, mail_failing_since
FROM account_mails WHERE mail_failing_since IS NOT NULL AND mail_status IN ('pending', 'dead');
"""

_ROLLBACK = """
DROP VIEW failed_work;
ALTER TABLE account_mails DROP COLUMN mail_failing_since, DROP COLUMN mail_error;
ALTER TABLE notifications DROP COLUMN mail_failing_since, DROP COLUMN mail_error;
ALTER TABLE tasks DROP COLUMN weather_failing_since, DROP COLUMN weather_error;
"""


def migrate(migrator, database, *, fake=False):
    """Create the columns, their indexes and the view."""
    migrator.sql(_SCHEMA)


def rollback(migrator, database, *, fake=False):
    """Drop them."""
    migrator.sql(_ROLLBACK)
