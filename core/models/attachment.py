"""Files that belong to tasks."""

from typing import ClassVar

from peewee import BigIntegerField, CharField, IdentityField

from core.models.base import NOW, BaseModel, DateTimeTZField


class StoredFile(BaseModel):
    """A file that is in the storage, will be stored soon, or should have been stored but was not."""

    key = CharField(64, primary_key=True)
    created_at = DateTimeTZField(constraints=NOW)

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
