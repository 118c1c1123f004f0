"""Single-use links for accounts, and the mails about accounts, with the state of their delivery."""

from peewee import BigIntegerField, BlobField, CharField, IdentityField, IntegerField, TextField

from core.models.base import NOW, BaseModel, DateTimeTZField, JSONField


class AccountLink(BaseModel):
    """A link that is mailed to `email`, with which one thing can be done once. Its secret is not stored.

    `failed_codes` counts how often somebody has tried to guess the code that is mailed together with the link.
    """

    id = IdentityField()
    user_id = BigIntegerField()
    purpose = TextField()
    email = TextField()
    nonce = BlobField()
    failed_codes = IntegerField(default=0)
    created_at = DateTimeTZField(constraints=NOW)
    expires_at = DateTimeTZField()
    used_at = DateTimeTZField(null=True)

    class Meta:
        table_name = "account_links"


class AccountMail(BaseModel):
    """A mail about an account. `mail_status` is null if the mail is of no use any more, or no mail can be sent."""

    id = IdentityField()
    user_id = BigIntegerField(null=True)
    recipient = TextField()
    kind = TextField()
    locale = TextField()
    details = JSONField()
    link_id = BigIntegerField(null=True)
    invitation_id = BigIntegerField(null=True)
    created_at = DateTimeTZField(constraints=NOW)
    mail_status = CharField(10, null=True, default="pending")
    mail_attempts = IntegerField(default=0)
    mail_next_attempt_at = DateTimeTZField(constraints=NOW)
    mail_error = TextField(null=True)
    mail_failing_since = DateTimeTZField(null=True)

    class Meta:
        table_name = "account_mails"
