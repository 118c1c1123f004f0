"""A log file that several processes write and that nobody lets grow for ever."""

import fcntl
import logging
from logging.handlers import WatchedFileHandler
from pathlib import Path


class SharedLogFile(WatchedFileHandler):
    """Appends to a file and rotates it when it has become too long, beside any number of other writers.

    Each line is one write to a file opened for appending, so lines of several processes do not mix. Whoever finds the
    file too long renames it, under a lock; the others notice with their next line that the name stands for another
    file. A line written in between lands in the renamed one, so none is lost.
    """

    def __init__(self, path: str, *, max_bytes: int, backups: int) -> None:
        super().__init__(path, encoding="utf-8", delay=True)
        self._path = Path(path)
        self._max_bytes = max_bytes
        self._backups = backups

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, into a new file where it is time for one."""
        try:
            super().emit(record)
            if self.stream is not None and self.stream.tell() > self._max_bytes:
                self._rotate()
        except OSError:
            # A disk that is full or not ours to write on must neither fail a job nor end the thread that writes.
            self.handleError(record)

    def _rotate(self) -> None:
        lock = self._path.with_name(f".{self._path.name}.lock")
        with lock.open("a", encoding="utf-8") as guard:
            fcntl.flock(guard, fcntl.LOCK_EX)
            if self._is_still_too_long():
                for number in range(self._backups - 1, 0, -1):
                    self._rename(self._numbered(number), self._numbered(number + 1))
                self._rename(self._path, self._numbered(1))

    def _is_still_too_long(self) -> bool:
        """Whether nobody else has rotated the file while we waited for the lock."""
        return self._path.exists() and self._path.stat().st_size > self._max_bytes

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    @staticmethod
    def _rename(source: Path, target: Path) -> None:
        if source.exists():
            source.replace(target)
