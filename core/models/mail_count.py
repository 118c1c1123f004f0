"""How many mails were sent, for the caps on them."""

from peewee import CompositeKey, IntegerField, TextField

from core.models.base import BaseModel, DateTimeTZField


class MailCount(BaseModel):
    """The mails of a subject in one period, and how many more were refused. `core.mail_caps` writes it."""

    subject = TextField()
    period_start = DateTimeTZField()
    mails = IntegerField()
    refused = IntegerField(default=0)

    class Meta:
        table_name = "mail_counts"
        primary_key = CompositeKey("subject", "period_start")
