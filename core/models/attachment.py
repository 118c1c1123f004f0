"""Files that belong to tasks."""

from typing import Any

from peewee import SQL, BigIntegerField, CharField, IdentityField

from core.models.base import BaseModel, DateTimeTZField

_NOW = [SQL("DEFAULT now()")]


class StoredFile(BaseModel):
    """Something that is in the storage, or soon will be, or was to be."""

    key = CharField(64, primary_key=True)
    created_at = DateTimeTZField(constraints=_NOW)

    class Meta:
        table_name = "stored_files"


class Attachment(BaseModel):
    """A file of a task, as people see it. `user_id` is who uploaded it."""

    id = IdentityField()
    task_id = BigIntegerField()
    user_id = BigIntegerField()
    file_key = CharField(64)
    filename = CharField(255)
    content_type = CharField(100)
    size = BigIntegerField()
    sha256 = CharField(64)
    created_at = DateTimeTZField(constraints=_NOW)

    class Meta:
        table_name = "attachments"

    def describe(self) -> dict[str, Any]:
        """The attachment as clients see it; where its bytes are is nobody's business."""
        return {
            "id": self.id,
            "task_id": self.task_id,
            "user_id": self.user_id,
            "filename": self.filename,
            "content_type": self.content_type,
            "size": self.size,
            "sha256": self.sha256,
            "created_at": self.created_at,
        }
