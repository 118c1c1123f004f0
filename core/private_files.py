"""Files and directories that only the system user who makes them may read."""

import os
from pathlib import Path
from typing import Final

DIRECTORY_MODE: Final = 0o700
FILE_MODE: Final = 0o600


def open_privately(path: str, flags: int) -> int:
    """Open a file as the argument `opener` of `open()`: if the file is made now, only its owner may read it."""
    return os.open(path, flags, FILE_MODE)


def make_private_directory(directory: Path) -> None:
    """Make a directory, and those above it that do not exist; a directory that exists is not changed."""
    for missing in reversed([each for each in (directory, *directory.parents) if not each.exists()]):
        missing.mkdir(DIRECTORY_MODE, exist_ok=True)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read; after a crash the file is either complete or not changed."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
