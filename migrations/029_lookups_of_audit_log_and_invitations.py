"""Indexes for the filters of the audit log, and for the invitations of an address."""

# These indexes of the audit log have the order in which it is read, so a page is found without sorting all that match.
# The entries of one account are few enough to be sorted; `audit_log_user` finds them.
_SCHEMA = """
CREATE INDEX audit_log_at ON audit_log (at, id);
CREATE INDEX audit_log_action ON audit_log (action, at, id);
CREATE INDEX audit_log_actor ON audit_log (actor_id, at, id);
CREATE INDEX audit_log_address ON audit_log (ip_address, at, id);

CREATE INDEX invitations_email ON invitations (email_key);
"""

_ROLLBACK = """
DROP INDEX invitations_email, audit_log_address, audit_log_actor, audit_log_action, audit_log_at;
"""


def migrate(migrator, database, *, fake=False):
    """Create the indexes."""
    migrator.sql(_SCHEMA)


def rollback(migrator, database, *, fake=False):
    """Drop them."""
    migrator.sql(_ROLLBACK)
