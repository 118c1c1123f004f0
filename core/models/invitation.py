"""Invitations to register, or to join a group."""

from datetime import UTC, datetime
from typing import ClassVar

from peewee import BigIntegerField, BlobField, BooleanField, CharField, IdentityField, TextField

from core.models.base import NOW, BaseModel, DateTimeTZField


class Invitation(BaseModel):
    """An invitation of one address, which can be used once. Its secret is not stored.

    `is_mailed` says whether the secret went to the address and nowhere else: then whoever has it can read the mails of
    this address.
    """

    INTERNAL: ClassVar[frozenset[str]] = frozenset({"email_key", "nonce", "is_mailed", "accepted_at"})

    id = IdentityField()
    inviter_id = BigIntegerField()
    email = CharField(254)
    email_key = TextField()
    group_id = BigIntegerField(null=True)
    nonce = BlobField()
    is_mailed = BooleanField()
    created_at = DateTimeTZField(constraints=NOW)
    expires_at = DateTimeTZField()
    accepted_at = DateTimeTZField(null=True)

    def is_open(self) -> bool:
        """Whether the invitation can still be used."""
        return self.accepted_at is None and self.expires_at > datetime.now(UTC)

    class Meta:
        table_name = "invitations"
