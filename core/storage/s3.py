"""Attachments in a bucket of Amazon S3, or of another server with the same API."""

from collections.abc import Generator
from typing import Any, BinaryIO, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from core.config import Settings
from core.storage.base import CHUNK_BYTES, failures_as_unavailable

_CONNECT_SECONDS: Final = 2
_READ_SECONDS: Final = 8
_ATTEMPTS: Final = 2
_CONNECTIONS: Final = 16

_FAILURES: Final = (BotoCoreError, ClientError)


class S3Storage:
    """Objects in one bucket, which must exist. Without keys in the settings boto3 looks in its usual places."""

    def __init__(self, settings: Settings) -> None:
        secret = settings.s3_secret_access_key
        self._bucket = settings.s3_bucket
        self._client: Any = boto3.client(
            "s3",
            endpoint_url=settings.s3_endpoint_url,
            region_name=settings.s3_region,
            aws_access_key_id=settings.s3_access_key_id,
            aws_secret_access_key=None if secret is None else secret.get_secret_value(),
            config=Config(
                connect_timeout=_CONNECT_SECONDS,
                read_timeout=_READ_SECONDS,
                retries={"total_max_attempts": _ATTEMPTS, "mode": "standard"},
                max_pool_connections=_CONNECTIONS,
                # Servers other than Amazon's often support neither buckets as host names nor the newer checksums.
                s3={"addressing_style": "path" if settings.s3_endpoint_url else "auto"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    def put(self, key: str, file: BinaryIO) -> None:
        """Upload a file in one request; S3 stores it completely or not at all."""
        file.seek(0)
        with failures_as_unavailable(*_FAILURES):
            self._client.put_object(Bucket=self._bucket, Key=key, Body=file)

    def read(self, key: str, start: int, end: int) -> Generator[bytes, None, None]:
        """Request a part of an object and return it in chunks."""
        if start == end:
            # A range cannot be empty, so this only checks whether the object exists.
            with failures_as_unavailable(*_FAILURES):
                self._client.head_object(Bucket=self._bucket, Key=key)
            return _nothing()
        with failures_as_unavailable(*_FAILURES):
            found = self._client.get_object(Bucket=self._bucket, Key=key, Range=f"bytes={start}-{end - 1}")
        return _chunks(found["Body"])

    def delete(self, key: str) -> None:
        """Remove an object; S3 reports no failure if it does not exist."""
        with failures_as_unavailable(*_FAILURES):
            self._client.delete_object(Bucket=self._bucket, Key=key)


def _nothing() -> Generator[bytes, None, None]:
    yield from ()


def _chunks(body: Any) -> Generator[bytes, None, None]:
    try:
        with failures_as_unavailable(*_FAILURES):
            yield from body.iter_chunks(CHUNK_BYTES)
    finally:
        body.close()
