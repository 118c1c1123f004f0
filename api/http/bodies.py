"""How a request's body is read: counted while it comes in, and refused where it is neither JSON nor a form.

`api.http.validation` holds the result against a schema.
"""

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import falcon
import falcon.asgi
import orjson
from falcon.asgi.multipart import MultipartForm
from falcon.media import BaseHandler, Handlers, MultipartFormHandler
from falcon.typing import AsyncReadableIO
from pydantic import BaseModel

from api.http.validation import JsonText, Pairs
from core.messages import msg

JSON: Final = falcon.MEDIA_JSON
MERGE_PATCH: Final = "application/merge-patch+json"
FORM: Final = falcon.MEDIA_URLENCODED
JSON_LINES: Final = "application/x-ndjson"
JSON_LINES_ALIAS: Final = "application/jsonl"
CSV: Final = "text/csv"
MULTIPART: Final = falcon.MEDIA_MULTIPART

# A form holds a name and a password, and parsing it costs far more for each byte than parsing JSON does.
_MAX_FORM_BYTES: Final = 64 * 1024

# The boundaries and headers around a file in a form.
_FRAME_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class RawBody:
    """Marks a `body` that the responder reads by itself, as in `Annotated[StreamedBody, RawBody(...)]`.

    Args:
        schemas: What the body is like, by media type. It is held against nothing but the media type.
        read: Makes the argument out of the request.
    """

    schemas: Mapping[str, type[BaseModel]]
    read: Callable[["falcon.asgi.Request"], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class StreamedBody:
    """A body that is read while it comes in, with its media type in lower case."""

    media_type: str
    request: "falcon.asgi.Request"

    @classmethod
    async def of(cls, req: "falcon.asgi.Request") -> "StreamedBody":
        """The body of a request, of which nothing has been read yet."""
        return cls(str(req.content_type), req)

    def chunks(self, max_bytes: int) -> AsyncIterator[bytes]:
        """Read the body as `read_chunks()` does."""
        return read_chunks(self.request, max_bytes)


async def read_form(req: "falcon.asgi.Request") -> MultipartForm:
    """The form with files that a request has, whose parts are still to be read."""
    form: MultipartForm = await req.get_media()
    return form


def expect_media_type(req: "falcon.asgi.Request", known: Collection[str]) -> str:
    """Return the media type of a request's body, in lower case; without one it counts as JSON.

    Raises:
        falcon.HTTPUnsupportedMediaType: where it is none of the `known` ones.
    """
    named, separator, parameters = (req.content_type or JSON).partition(";")
    media_type = named.strip().lower()
    if media_type not in known:
        raise falcon.HTTPUnsupportedMediaType(
            description=msg("The body must be one of: {types}.", types=", ".join(known))
        )
    # Falcon looks its handlers up by the exact text, while media types are the same in either case.
    req.content_type = media_type + separator + parameters if media_type == MULTIPART else media_type
    return media_type


class JsonHandler(BaseHandler):
    """Reads JSON of at most `max_bytes`; NaN, lone surrogates and too deep nesting are not JSON."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes

    async def deserialize_async(
        self,
        stream: AsyncReadableIO,
        content_type: str | None,  # noqa: ARG002 - Falcon calls every handler alike.
        content_length: int | None,
    ) -> JsonText:
        """Read the document.

        Raises:
            falcon.HTTPContentTooLarge: where it is longer than it may be.
            falcon.MediaNotFoundError: where there is none.
            falcon.MediaMalformedError: where it is no JSON.
        """
        text = await _read(stream, content_length, self._max_bytes)
        if not text:
            raise falcon.MediaNotFoundError("JSON")
        try:
            return JsonText(text, orjson.loads(text))
        except orjson.JSONDecodeError as error:
            raise falcon.MediaMalformedError("JSON") from error


class FormHandler(BaseHandler):
    """Reads a URL-encoded form of at most `max_bytes`."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes

    async def deserialize_async(
        self,
        stream: AsyncReadableIO,
        content_type: str | None,  # noqa: ARG002 - Falcon calls every handler alike.
        content_length: int | None,
    ) -> Pairs:
        """Read the form.

        Raises:
            falcon.HTTPContentTooLarge: where it is longer than it may be.
            falcon.MediaMalformedError: where it is no form.
        """
        text = await _read(stream, content_length, self._max_bytes)
        if not text.isascii():
            raise falcon.MediaMalformedError("form")
        return Pairs(falcon.uri.parse_query_string(text.decode("ascii"), keep_blank=True))


async def read_chunks(req: "falcon.asgi.Request", max_bytes: int) -> AsyncIterator[bytes]:
    """Read a body of at most `max_bytes` as it comes in, so that it need not be in memory as a whole.

    Raises:
        falcon.HTTPContentTooLarge: where it is longer than it may be.
        falcon.HTTPBadRequest: where it ended early.
    """
    declared, received = req.content_length, 0
    if declared is not None and declared > max_bytes:
        raise too_large(max_bytes)
    async for chunk in _capped(req.stream, max_bytes):
        received += len(chunk)
        yield chunk
    if declared is not None and received < declared:
        raise _ended_early()


class MultipartHandler(MultipartFormHandler):
    """Hands on a form with files part by part, as it comes in, and stops where all of it is more than a file may be."""

    def __init__(self, max_file_bytes: int) -> None:
        super().__init__()
        self._max_bytes = max_file_bytes + _FRAME_BYTES

    async def deserialize_async(
        self, stream: AsyncReadableIO, content_type: str | None, content_length: int | None
    ) -> MultipartForm:
        """Begin to read the form; the bytes are read by who takes its parts.

        Raises:
            falcon.HTTPContentTooLarge: now, or from the parts, where it is longer than it may be.
            falcon.HTTPInvalidHeader: where the type has no boundary.
        """
        if content_length is not None and content_length > self._max_bytes:
            raise too_large(self._max_bytes)
        capped: Any = _capped(stream, self._max_bytes)
        return await super().deserialize_async(capped, content_type, content_length)


async def _capped(stream: AsyncIterable[bytes], limit: int) -> AsyncIterator[bytes]:
    total = 0
    async for chunk in stream:
        total += len(chunk)
        if total > limit:
            raise too_large(limit)
        yield chunk


async def _read(stream: AsyncReadableIO, declared: int | None, limit: int) -> bytes:
    if declared is not None and declared > limit:
        raise too_large(limit)
    body = await stream.read(limit + 1)
    if len(body) > limit:
        raise too_large(limit)
    if declared is not None and len(body) < declared:
        raise _ended_early()
    return body


def _ended_early() -> falcon.HTTPBadRequest:
    return falcon.HTTPBadRequest(description=msg("The body ended before the length it was announced with."))


def too_large(limit: int) -> falcon.HTTPContentTooLarge:
    """The refusal of a body with more bytes than so many."""
    return falcon.HTTPContentTooLarge(description=msg("The body may have at most {limit} bytes.", limit=limit))


def install(
    app: "falcon.asgi.App[falcon.asgi.Request, falcon.asgi.Response]", max_body_bytes: int, max_file_bytes: int
) -> None:
    """Let an app read JSON of at most so many bytes, small forms, and forms with files of at most so many bytes."""
    json = JsonHandler(max_body_bytes)
    app.req_options.media_handlers = Handlers(
        {
            JSON: json,
            MERGE_PATCH: json,
            FORM: FormHandler(min(max_body_bytes, _MAX_FORM_BYTES)),
            MULTIPART: MultipartHandler(max_file_bytes),
        }
    )
