"""The interface of every storage, and how its failures are reported."""

import secrets
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import BinaryIO, Final, Protocol

import structlog

from core.errors import Unavailable
from core.messages import msg

log = structlog.get_logger()

CHUNK_BYTES: Final = 256 * 1024
_KEY_BYTES: Final = 16


def new_key() -> str:
    """Return a random key that cannot be guessed and contains no data of a user."""
    return secrets.token_hex(_KEY_BYTES)


class Storage(Protocol):
    """Stores files by key. Every method blocks, and raises Unavailable with code `storage_unavailable` on failure."""

    def put(self, key: str, file: BinaryIO) -> None:
        """Store a file, from its beginning; if this fails, no part of the file is stored under the key."""

    def read(self, key: str, start: int, end: int) -> Generator[bytes, None, None]:
        """Open a file and return its bytes from `start` up to, but not including, `end`, in chunks.

        If the file is missing, this call fails, and not the first chunk.
        """

    def delete(self, key: str) -> None:
        """Remove a file; a missing file is not a failure."""


@contextmanager
def failures_as_unavailable(*kinds: type[Exception]) -> Iterator[None]:
    """Turn exceptions of these kinds into Unavailable; the kind is logged and not shown to the client."""
    try:
        yield
    except kinds as error:
        log.warning("storage_unavailable", reason=type(error).__name__)
        raise Unavailable(
            msg("The storage of attachments cannot be reached. Please try again."), code="storage_unavailable"
        ) from error
