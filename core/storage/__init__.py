"""Where the bytes of attachments are: a directory, or a bucket of an S3 server. It knows keys and nothing of people."""

from core.config import Settings
from core.storage.base import CHUNK_BYTES, Storage, new_key
from core.storage.local import LocalStorage

__all__ = ["CHUNK_BYTES", "LocalStorage", "Storage", "new_key", "storage_for"]


def storage_for(settings: Settings) -> Storage:
    """The storage that the settings ask for; nothing is opened or asked yet."""
    if settings.attachment_storage == "local":
        return LocalStorage(settings.attachment_dir)
    from core.storage.s3 import S3Storage  # noqa: PLC0415 - boto3 is large, and a local storage does without.

    return S3Storage(settings)
