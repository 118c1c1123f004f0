"""What every storage can do, and how its failures are told."""

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
    """A key that nobody can guess, with nothing of a user's in it."""
    return secrets.token_hex(_KEY_BYTES)


class Storage(Protocol):
    """Holds files by key. Every method blocks, and raises Unavailable with code `storage_unavailable` on failure."""

    def put(self, key: str, file: BinaryIO) -> None:
        """Store a file, read from its beginning; afterwards it is there as a whole, or not at all."""

    def read(self, key: str, start: int, end: int) -> Generator[bytes, None, None]:
        """Open a file and answer its bytes from `start` up to, without, `end`, in chunks.

        That it is there is known when this returns.
        """

    def delete(self, key: str) -> None:
        """Remove a file; one that is not there is no failure."""


@contextmanager
def telling_failures(*kinds: type[Exception]) -> Iterator[None]:
    """Turn failures of these kinds into Unavailable, with the kind in the log and nothing of it for the client."""
    try:
        yield
    except kinds as error:
        log.warning("storage_unavailable", reason=type(error).__name__)
        raise Unavailable(
            msg("The storage of attachments cannot be reached. Please try again."), code="storage_unavailable"
        ) from error
