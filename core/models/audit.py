"""The audit log."""

from peewee import BigIntegerField, CharField, IdentityField

from core.models.base import NOW, BaseModel, DateTimeTZField, JSONField


class AuditEntry(BaseModel):
    """What `actor_id` did to the account `user_id`. Both ids stay when the accounts are deleted."""

    id = IdentityField()
    at = DateTimeTZField(constraints=NOW)
    action = CharField(40)
    actor_id = BigIntegerField(null=True)
    user_id = BigIntegerField(null=True)
    ip_address = CharField(45, null=True)
    request_id = CharField(128, null=True)
    details = JSONField()

    class Meta:
        table_name = "audit_log"
