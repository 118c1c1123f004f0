"""Feedback of users about the application."""

from peewee import BigIntegerField, CharField, IdentityField, SmallIntegerField

from core.models.base import NOW, BaseModel, DateTimeTZField


class Feedback(BaseModel):
    """A rating from 1 to 5 and an optional message. `user_id` is null after the account was deleted."""

    id = IdentityField()
    user_id = BigIntegerField(null=True)
    rating = SmallIntegerField()
    message = CharField(5000, null=True)
    created_at = DateTimeTZField(constraints=NOW)

    class Meta:
        table_name = "feedback"
