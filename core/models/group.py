"""Groups of people who share tasks."""

from peewee import SQL, BigIntegerField, BooleanField, CharField, CompositeKey, IdentityField

from core.models.base import BaseModel, DateTimeTZField


class Group(BaseModel):
    """A group."""

    id = IdentityField()
    name = CharField(100)
    created_at = DateTimeTZField(constraints=[SQL("DEFAULT now()")])
    updated_at = DateTimeTZField(constraints=[SQL("DEFAULT now()")])

    class Meta:
        table_name = "groups"


class GroupMember(BaseModel):
    """Somebody's place in a group."""

    group_id = BigIntegerField()
    user_id = BigIntegerField()
    is_manager = BooleanField(default=False)
    joined_at = DateTimeTZField(constraints=[SQL("DEFAULT now()")])

    class Meta:
        table_name = "group_members"
        primary_key = CompositeKey("user_id", "group_id")
