"""Groups of people who share tasks."""

from typing import ClassVar

from peewee import BigIntegerField, BooleanField, CharField, CompositeKey, IdentityField

from core.models.base import NOW, BaseModel, DateTimeTZField


class Group(BaseModel):
    """A group. `creator_id` is null after the creator's account was deleted; others may manage the group then."""

    # A group belongs to its members. Who made it only counts for the quota.
    INTERNAL: ClassVar[frozenset[str]] = frozenset({"creator_id"})

    id = IdentityField()
    name = CharField(100)
    creator_id = BigIntegerField(null=True)
    created_at = DateTimeTZField(constraints=NOW)
    updated_at = DateTimeTZField(constraints=NOW)

    class Meta:
        table_name = "groups"


class GroupMember(BaseModel):
    """The membership of an account in a group, and whether the account manages the group."""

    group_id = BigIntegerField()
    user_id = BigIntegerField()
    is_manager = BooleanField(default=False)
    joined_at = DateTimeTZField(constraints=NOW)

    class Meta:
        table_name = "group_members"
        primary_key = CompositeKey("user_id", "group_id")
