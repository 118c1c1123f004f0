"""The storage of attachments: a directory, or a bucket of an S3 server. Files are stored by key."""

from core.config import Settings
from core.storage.base import CHUNK_BYTES, Storage, new_key
from core.storage.local import LocalStorage

__all__ = ["CHUNK_BYTES", "LocalStorage", "Storage", "new_key", "storage_for"]


def storage_for(settings: Settings) -> Storage:
    """Return the storage that the settings name; no file or connection is opened yet."""
    if settings.attachment_storage == "local":
        return LocalStorage(settings.attachment_dir)
    from core.storage.s3 import S3Storage  # noqa: PLC0415 - boto3 is large, and a local storage does not need it.

    return S3Storage(settings)
