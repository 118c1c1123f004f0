"""How a file is received: part by part into a temporary file that has no name, counted, and off the event loop."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import falcon
from falcon.asgi.multipart import BodyPart, MultipartForm

from api.http.bodies import too_large
from api.http.threads import Bridge
from core.errors import FieldError, Invalid
from core.files import clean_name
from core.messages import msg

_FIELD: Final = "file"
# A whole upload, from whatever line; who sends more slowly than this holds a place that others need.
_SECONDS: Final = 120.0
# Chunks come as the network cuts them; so many bytes are worth a hop to a thread.
_WRITE_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Received:
    """A file that has come in as a whole, under its cleaned name."""

    filename: str
    file: BinaryIO


@asynccontextmanager
async def received(bridge: Bridge, form: MultipartForm, max_bytes: int) -> AsyncIterator[Received]:
    """Receive the form's one file, which is gone when the block ends, however it ends.

    Raises:
        falcon.HTTPContentTooLarge: where it is longer than it may be.
        falcon.MediaMalformedError: where the form is none, or breaks off.
        falcon.HTTPError: with status 408 where it takes too long.
        Invalid: where there is no file in it, or none with a name, or anything beside it.
    """
    # A file without a name leaves nothing behind, not even when the process is killed.
    with tempfile.TemporaryFile() as file:
        try:
            async with asyncio.timeout(_SECONDS):
                filename = await _receive(bridge, form, file, max_bytes)
        except TimeoutError:
            raise falcon.HTTPError(408, description=msg("The upload took too long.")) from None
        yield Received(filename, file)


async def _receive(bridge: Bridge, form: MultipartForm, file: BinaryIO, max_bytes: int) -> str:
    filename = None
    async for part in form:
        if filename is not None or _text(part, "name") != _FIELD:
            raise Invalid([FieldError(_FIELD, msg("must be the only part of the form"))])
        filename = clean_name(_text(part, "filename"))
        if not filename:
            raise Invalid([FieldError(_FIELD, msg("needs a file name"))])
        await _copy(bridge, part, file, max_bytes)
    if filename is None:
        raise Invalid([FieldError(_FIELD, msg("is required"))])
    return filename


async def _copy(bridge: Bridge, part: BodyPart, file: BinaryIO, max_bytes: int) -> None:
    waiting, total = bytearray(), 0
    async for chunk in part.stream:
        total += len(chunk)
        if total > max_bytes:
            raise too_large(max_bytes)
        waiting += chunk
        if len(waiting) >= _WRITE_BYTES:
            await bridge.run_file_io(file.write, bytes(waiting))
            waiting.clear()
    await bridge.run_file_io(file.write, bytes(waiting))


def _text(part: BodyPart, attribute: str) -> str:
    """What a part says of itself; Falcon decodes it only when it is asked for."""
    try:
        said: Any = getattr(part, attribute)
    except UnicodeDecodeError:
        raise falcon.MediaMalformedError("form") from None
    return said or ""
