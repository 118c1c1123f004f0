"""Attachments in a directory that all processes share."""

import os
import shutil
from collections.abc import Generator
from pathlib import Path
from typing import BinaryIO, Final

from core.storage.base import CHUNK_BYTES, failures_as_unavailable

_DIRECTORY_MODE: Final = 0o700
_FILE_MODE: Final = 0o600
_UNFINISHED: Final = ".part"


class LocalStorage:
    """Files in one directory, each named by its key. Only this system user may read them.

    The directory is made when the first file is stored.
    """

    def __init__(self, directory: str | Path) -> None:
        self._directory = Path(directory)

    def put(self, key: str, file: BinaryIO) -> None:
        """Write to a temporary name first, so that a crash leaves no incomplete file under the key."""
        unfinished = self._unfinished(key)
        with failures_as_unavailable(OSError):
            self._directory.mkdir(_DIRECTORY_MODE, parents=True, exist_ok=True)
            file.seek(0)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            with os.fdopen(os.open(unfinished, flags, _FILE_MODE), "wb") as copy:
                shutil.copyfileobj(file, copy, CHUNK_BYTES)
                copy.flush()
                os.fsync(copy.fileno())
            unfinished.replace(self._place(key))
            self._sync_directory()

    def read(self, key: str, start: int, end: int) -> Generator[bytes, None, None]:
        """Open a file and return a part of it in chunks."""
        with failures_as_unavailable(OSError):
            file = self._place(key).open("rb")
        return _chunks(file, start, end)

    def delete(self, key: str) -> None:
        """Remove a file, and an incomplete copy that a crash may have left."""
        with failures_as_unavailable(OSError):
            self._unfinished(key).unlink(missing_ok=True)
            self._place(key).unlink(missing_ok=True)

    def _place(self, key: str) -> Path:
        return self._directory / key

    def _unfinished(self, key: str) -> Path:
        return self._directory / (key + _UNFINISHED)

    def _sync_directory(self) -> None:
        """Write the new name to the disk, so that it is not lost in a power failure."""
        descriptor = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _chunks(file: BinaryIO, start: int, end: int) -> Generator[bytes, None, None]:
    with file, failures_as_unavailable(OSError):
        file.seek(start)
        left = end - start
        while left > 0 and (chunk := file.read(min(left, CHUNK_BYTES))):
            left -= len(chunk)
            yield chunk
