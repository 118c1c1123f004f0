"""A log file that several processes write to and that is rotated when it gets too long."""

import fcntl
import logging
from io import TextIOWrapper
from logging.handlers import WatchedFileHandler
from pathlib import Path

from core.private_files import open_privately


class SharedLogFile(WatchedFileHandler):
    """Appends to a file and rotates it when it is too long. Any number of processes may write to the same file.

    Only the user who runs them may read the file. A file that exists keeps its mode.

    Each line is one write to a file opened for appending, so lines of several processes do not mix. A process that
    finds the file too long renames it under a lock. The other processes check before each line whether the file was
    replaced. A line that is written just before this check goes to the renamed file, so no line is lost.
    """

    def __init__(self, path: str, *, max_bytes: int, backups: int) -> None:
        super().__init__(path, encoding="utf-8", delay=True)
        self._path = Path(path)
        self._max_bytes = max_bytes
        self._backups = backups

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, and rotate the file if it is too long now."""
        try:
            super().emit(record)
            if self.stream is not None and self.stream.tell() > self._max_bytes:
                self._rotate()
        except OSError:
            # A full or read-only disk must neither make a job fail nor end the thread that writes the logs.
            self.handleError(record)

    def _open(self) -> TextIOWrapper:
        return open(self._path, "a", encoding="utf-8", opener=open_privately)

    def _rotate(self) -> None:
        lock = self._path.with_name(f".{self._path.name}.lock")
        with open(lock, "a", encoding="utf-8", opener=open_privately) as guard:
            fcntl.flock(guard, fcntl.LOCK_EX)
            if self._is_still_too_long():
                for number in range(self._backups - 1, 0, -1):
                    self._rename(self._numbered(number), self._numbered(number + 1))
                self._rename(self._path, self._numbered(1))

    def _is_still_too_long(self) -> bool:
        """Whether no other process has rotated the file while this one waited for the lock."""
        return self._path.exists() and self._path.stat().st_size > self._max_bytes

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    @staticmethod
    def _rename(source: Path, target: Path) -> None:
        if source.exists():
            source.replace(target)
