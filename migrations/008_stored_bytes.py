"""Stored files count against the quota of the user who uploaded them, until they are gone from the storage."""

_SCHEMA = """
-- An upload of the running version uses both tables in this order, so it cannot deadlock with the migration.
LOCK TABLE attachments IN SHARE ROW EXCLUSIVE MODE;

-- `removable_at` is the time from which the sweep may remove the file. It is NULL while an attachment refers to it. The
-- default gives an upload one hour to become an attachment.
ALTER TABLE stored_files
    ADD COLUMN user_id      bigint REFERENCES users ON DELETE SET NULL,
    ADD COLUMN size         bigint CHECK (size >= 0),
    ADD COLUMN removable_at timestamptz DEFAULT now() + interval '1 hour';
UPDATE stored_files f SET user_id = a.user_id, size = a.size, removable_at = NULL
FROM attachments a WHERE a.file_key = f.key;
UPDATE stored_files SET removable_at = created_at + interval '1 hour' WHERE removable_at IS NOT NULL;
CREATE INDEX stored_files_user ON stored_files (user_id) INCLUDE (size);
CREATE INDEX stored_files_removable ON stored_files (removable_at) WHERE removable_at IS NOT NULL;

-- Attachments are also deleted together with their task and their account, and the previous version of the code does
-- not know these columns. A trigger covers every case.
CREATE FUNCTION note_use_of_stored_file() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        UPDATE stored_files SET user_id = NEW.user_id, size = NEW.size, removable_at = NULL WHERE key = NEW.file_key;
    ELSE
        UPDATE stored_files SET removable_at = now() WHERE key = OLD.file_key;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER attachments_stored_file AFTER INSERT OR DELETE ON attachments
    FOR EACH ROW EXECUTE FUNCTION note_use_of_stored_file();
"""

_ROLLBACK = """
DROP TRIGGER attachments_stored_file ON attachments;
DROP FUNCTION note_use_of_stored_file();
ALTER TABLE stored_files DROP COLUMN user_id, DROP COLUMN size, DROP COLUMN removable_at;
"""


def migrate(migrator, database, *, fake=False):
    """Add the columns, fill them for the files that are attached, and keep them up to date with a trigger."""
    migrator.sql(_SCHEMA)


def rollback(migrator, database, *, fake=False):
    """Drop the trigger and the columns."""
    migrator.sql(_ROLLBACK)
