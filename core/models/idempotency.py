"""Idempotency keys."""

from peewee import BigIntegerField, BlobField, CharField, CompositeKey, IntegerField, TextField

from core.models.base import NOW, BaseModel, DateTimeTZField


class IdempotencyKey(BaseModel):
    """The thing that a request with this key has created, and a digest of that request."""

    user_id = BigIntegerField()
    route = CharField(200)
    key = CharField(255)
    fingerprint = BlobField()
    created_id = BigIntegerField()
    version = IntegerField()
    document = TextField()
    created_at = DateTimeTZField(constraints=NOW)

    class Meta:
        table_name = "idempotency_keys"
        primary_key = CompositeKey("user_id", "route", "key")
