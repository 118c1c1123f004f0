"""Turns, which keep the work of one user from delaying that of others."""

from peewee import BigIntegerField, CharField, CompositeKey

from core.models.base import BaseModel, DateTimeTZField


class Turn(BaseModel):
    """When a user last had a turn with a kind of work (see `core.retries`)."""

    work = CharField(20)
    user_id = BigIntegerField()
    taken_at = DateTimeTZField()

    class Meta:
        table_name = "turns"
        primary_key = CompositeKey("work", "user_id")
