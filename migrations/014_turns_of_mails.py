"""Whose turn it is to have a mail sent."""


def migrate(migrator, database, *, fake=False):
    """Create the index of the mails that wait, by the user who has caused them."""
    migrator.sql(
        "CREATE INDEX notifications_mail_owner ON notifications (coalesce(actor_id, user_id), mail_next_attempt_at) "
        "WHERE mail_status = 'pending'"
    )


def rollback(migrator, database, *, fake=False):
    """Drop it."""
    migrator.sql("DROP INDEX notifications_mail_owner")
