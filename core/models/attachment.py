"""Files that belong to tasks."""

from typing import ClassVar

from peewee import SQL, BigIntegerField, CharField, IdentityField

from core.models.base import NOW, BaseModel, DateTimeTZField


class StoredFile(BaseModel):
    """A file that is in the storage, will be stored soon, or should have been stored but was not.

    Until it is gone from the storage, it counts with its `size` in bytes against the quota of `user_id`, who uploaded
    it. Both are NULL for an upload that a version without these columns has left unfinished, and `user_id` also after
    the account was deleted. `removable_at` is the time from which the sweep may remove the file. A trigger makes
    it NULL when an attachment refers to the file, and sets it again when that attachment is deleted.
    """

    key = CharField(64, primary_key=True)
    user_id = BigIntegerField(null=True)
    size = BigIntegerField(null=True)
    created_at = DateTimeTZField(constraints=NOW)
    removable_at = DateTimeTZField(null=True, constraints=[SQL("DEFAULT now() + interval '1 hour'")])

    class Meta:
        table_name = "stored_files"


class Attachment(BaseModel):
    """A file of a task. `user_id` is the account that uploaded it."""

    INTERNAL: ClassVar[frozenset[str]] = frozenset({"file_key"})

    id = IdentityField()
    task_id = BigIntegerField()
    user_id = BigIntegerField()
    file_key = CharField(64)
    filename = CharField(255)
    content_type = CharField(100)
    size = BigIntegerField()
    sha256 = CharField(64)
    created_at = DateTimeTZField(constraints=NOW)

    class Meta:
        table_name = "attachments"
