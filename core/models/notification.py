"""Notifications, and the state of their mails."""

from typing import ClassVar

from peewee import BigIntegerField, CharField, IdentityField, IntegerField, TextField

from core.models.base import NOW, BaseModel, DateTimeTZField, JSONField


class Notification(BaseModel):
    """A message of the application to one reader. `mail_status` is null if no mail is wanted or no mail can be sent."""

    INTERNAL: ClassVar[frozenset[str]] = frozenset(
        {"user_id", "mail_status", "mail_attempts", "mail_next_attempt_at", "mail_error", "mail_failing_since"}
    )

    id = IdentityField()
    user_id = BigIntegerField()
    kind = CharField(20)
    task_id = BigIntegerField()
    actor_id = BigIntegerField(null=True)
    details = JSONField()
    created_at = DateTimeTZField(constraints=NOW)
    read_at = DateTimeTZField(null=True)
    mail_status = CharField(10, null=True)
    mail_attempts = IntegerField(default=0)
    mail_next_attempt_at = DateTimeTZField(constraints=NOW)
    mail_error = TextField(null=True)
    mail_failing_since = DateTimeTZField(null=True)

    class Meta:
        table_name = "notifications"
