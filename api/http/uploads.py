"""Receives an uploaded file in chunks: limits its size, and writes it to a temporary file in a thread.

Also limits how many uploads are received at the same time.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import falcon
from falcon.asgi.multipart import BodyPart, MultipartForm

from api.http.places import Places
from api.http.threads import Bridge
from core.errors import FieldError, Invalid, TooManyRequests, Unavailable
from core.files import clean_name
from core.messages import msg

_FIELD: Final = "file"
# The time limit of a whole upload. Very slow clients would otherwise use up resources for a long time.
_SECONDS: Final = 120.0
# Chunks from the network can be small. Collecting this many bytes saves many switches to a thread.
_WRITE_BYTES: Final = 256 * 1024
# After this time a client may try again, if there were too many uploads.
_RETRY_SECONDS: Final = 5


class UploadPlaces(Places[int]):
    """The places for uploads under way in this process: so many for each user, and so many for all users together.

    Each upload uses a temporary file and memory until the client has sent all of it. Without a place it gets the code
    `too_many_uploads` if they are the user's, or `overloaded` if all are taken.
    """

    def refusal(self, *, all_taken: bool) -> Exception:
        """Return the error of an upload that is one too many."""
        if all_taken:
            return Unavailable(
                msg("Too many files are being uploaded. Please try again."), _RETRY_SECONDS, code="overloaded"
            )
        return TooManyRequests(
            msg("You have {count} uploads under way. Please wait for one to end.", count=self._per_holder),
            _RETRY_SECONDS,
            code="too_many_uploads",
        )


@dataclass(frozen=True, slots=True)
class SizeLimit:
    """How many bytes a file may have, and the error if it has more."""

    max_bytes: int
    exceeded: Exception


@dataclass(frozen=True, slots=True)
class Received:
    """A completely received file with its cleaned name."""

    filename: str
    file: BinaryIO


@asynccontextmanager
async def received(bridge: Bridge, form: MultipartForm, limit: SizeLimit) -> AsyncIterator[Received]:
    """Receive the one file of a form. The file is deleted at the end of the `async with` block.

    Raises:
        Exception: the one of `limit`, as soon as more bytes have arrived than the file may have.
        falcon.MediaMalformedError: if the form is malformed or incomplete.
        falcon.HTTPError: with status 408 if the upload takes too long.
        Invalid: if the form has no file, other parts beside the file, or a file without a name.
    """
    # This file has no name in the file system, so the system deletes it even if the process is killed.
    with tempfile.TemporaryFile() as file:
        try:
            async with asyncio.timeout(_SECONDS):
                filename = await _receive(bridge, form, file, limit)
        except TimeoutError:
            raise falcon.HTTPError(408, description=msg("The upload took too long.")) from None
        yield Received(filename, file)


async def _receive(bridge: Bridge, form: MultipartForm, file: BinaryIO, limit: SizeLimit) -> str:
    filename = None
    async for part in form:
        if filename is not None or _text(part, "name") != _FIELD:
            raise Invalid([FieldError(_FIELD, msg("must be the only part of the form"))])
        filename = clean_name(_text(part, "filename"))
        if not filename:
            raise Invalid([FieldError(_FIELD, msg("needs a file name"))])
        await _copy(bridge, part, file, limit)
    if filename is None:
        raise Invalid([FieldError(_FIELD, msg("is required"))])
    return filename


async def _copy(bridge: Bridge, part: BodyPart, file: BinaryIO, limit: SizeLimit) -> None:
    unwritten, total = bytearray(), 0
    async for chunk in part.stream:
        total += len(chunk)
        if total > limit.max_bytes:
            raise limit.exceeded
        unwritten += chunk
        if len(unwritten) >= _WRITE_BYTES:
            await bridge.run_file_io(file.write, bytes(unwritten))
            unwritten.clear()
    await bridge.run_file_io(file.write, bytes(unwritten))


def _text(part: BodyPart, attribute: str) -> str:
    """Return a header value of a part. Falcon decodes it only when the attribute is read."""
    try:
        value: Any = getattr(part, attribute)
    except UnicodeDecodeError:
        raise falcon.MediaMalformedError("form") from None
    return value or ""
