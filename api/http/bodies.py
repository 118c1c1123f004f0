"""Reads request bodies: limits their size while they arrive, and refuses media types that an operation does not take.

`api.http.validation` then validates the content against a schema.
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

# Forms are used only for logins, which are short, and parsing a form costs far more for each byte than parsing JSON.
_MAX_FORM_BYTES: Final = 64 * 1024

# The largest body of an operation that anybody may call without a token. Validation runs in the event loop, and a large
# body with many mistakes would delay all other requests.
ANONYMOUS_BODY_BYTES: Final = 16 * 1024

# Room for the boundaries and headers around a file in a multipart form.
_MULTIPART_OVERHEAD_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class RawBody:
    """Marks a `body` that the responder itself reads, as in `Annotated[StreamedBody, RawBody(...)]`.

    Args:
        schemas: The schema of the body for each accepted media type. Schemas are only used for the API description;
            of the body itself, only the media type is checked.
        read: Makes the responder's argument from the request.
    """

    schemas: Mapping[str, type[BaseModel]]
    read: Callable[["falcon.asgi.Request"], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class StreamedBody:
    """A body that is read while it arrives. Its media type is in lower case."""

    media_type: str
    request: "falcon.asgi.Request"

    @classmethod
    async def of(cls, req: "falcon.asgi.Request") -> "StreamedBody":
        """Return the body of a request from which nothing has been read yet."""
        return cls(str(req.content_type), req)

    def chunks(self, max_bytes: int) -> AsyncIterator[bytes]:
        """Read the body as `read_chunks()` does."""
        return read_chunks(self.request, max_bytes)


@dataclass(frozen=True, slots=True)
class StreamedForm:
    """A multipart form that is read part by part while it arrives.

    The file in it has at least `least_file_bytes` bytes; this is 0 if the length of the body was not announced.
    """

    form: MultipartForm
    least_file_bytes: int

    @classmethod
    async def of(cls, req: "falcon.asgi.Request") -> "StreamedForm":
        """Return the form of a request from which nothing has been read yet.

        Raises:
            falcon.HTTPContentTooLarge: if the announced length is more than a form may have.
            falcon.HTTPInvalidHeader: if the media type has no boundary.
        """
        form: MultipartForm = await req.get_media()
        return cls(form, max(0, (req.content_length or 0) - _MULTIPART_OVERHEAD_BYTES))


async def read_media(req: "falcon.asgi.Request", media_type: str, max_bytes: int | None) -> JsonText | Pairs:
    """Return the content of a request's body: a JSON document or a form.

    Args:
        req: The request, from which nothing has been read yet.
        media_type: The media type, as `expect_media_type()` returns it.
        max_bytes: The largest body that is read. If it is None, this is the limit of the app.

    Raises:
        falcon.HTTPContentTooLarge: if the body is too long.
        falcon.HTTPBadRequest: if it is empty, malformed, or ended before its announced length.
    """
    content: JsonText | Pairs
    if max_bytes is None:
        content = await req.get_media()
        return content
    handler = FormHandler(max_bytes) if media_type == FORM else JsonHandler(max_bytes)
    return await handler.deserialize_async(req.stream, media_type, req.content_length)


def expect_media_type(req: "falcon.asgi.Request", known: Collection[str]) -> str:
    """Return the media type of a request's body in lower case. A request without a `Content-Type` counts as JSON.

    Raises:
        falcon.HTTPUnsupportedMediaType: if the media type is not one of the `known` ones.
    """
    named, separator, parameters = (req.content_type or JSON).partition(";")
    media_type = named.strip().lower()
    if media_type not in known:
        raise falcon.HTTPUnsupportedMediaType(
            description=msg("The body must be one of: {types}.", types=", ".join(known))
        )
    # Media types are case-insensitive, but Falcon looks up its handlers by the exact text.
    req.content_type = media_type + separator + parameters if media_type == MULTIPART else media_type
    return media_type


class JsonHandler(BaseHandler):
    """Reads JSON of at most `max_bytes`. NaN, lone surrogates and nesting that is too deep are refused."""

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
            falcon.HTTPContentTooLarge: if it is longer than `max_bytes`.
            falcon.HTTPBadRequest: if the body ended before its announced length.
            falcon.MediaNotFoundError: if the body is empty.
            falcon.MediaMalformedError: if it is not valid JSON.
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
            falcon.HTTPContentTooLarge: if it is longer than `max_bytes`.
            falcon.HTTPBadRequest: if the body ended before its announced length.
            falcon.MediaMalformedError: if it is not a URL-encoded form.
        """
        text = await _read(stream, content_length, self._max_bytes)
        if not text.isascii():
            raise falcon.MediaMalformedError("form")
        return Pairs(falcon.uri.parse_query_string(text.decode("ascii"), keep_blank=True))


async def read_chunks(req: "falcon.asgi.Request", max_bytes: int) -> AsyncIterator[bytes]:
    """Read a body of at most `max_bytes` chunk by chunk, so that it is never in memory as a whole.

    Raises:
        falcon.HTTPContentTooLarge: if it is longer than `max_bytes`.
        falcon.HTTPBadRequest: if it ended before its announced length.
    """
    declared, received = req.content_length, 0
    if declared is not None and declared > max_bytes:
        raise too_large(max_bytes)
    async for chunk in _limited(req.stream, max_bytes):
        received += len(chunk)
        yield chunk
    if declared is not None and received < declared:
        raise ended_early()


class MultipartHandler(MultipartFormHandler):
    """Reads a multipart form part by part while it arrives, and stops when it is larger than one file may be."""

    def __init__(self, max_file_bytes: int) -> None:
        super().__init__()
        self._max_bytes = max_file_bytes + _MULTIPART_OVERHEAD_BYTES

    async def deserialize_async(
        self, stream: AsyncReadableIO, content_type: str | None, content_length: int | None
    ) -> MultipartForm:
        """Return the form. Its bytes are read later, when the caller reads the form's parts.

        Raises:
            falcon.HTTPContentTooLarge: if the form is too long; raised here if its length was announced, or else while
                its parts are read.
            falcon.HTTPInvalidHeader: if the media type has no boundary.
        """
        if content_length is not None and content_length > self._max_bytes:
            raise too_large(self._max_bytes)
        limited: Any = _limited(stream, self._max_bytes)
        return await super().deserialize_async(limited, content_type, content_length)


async def _limited(stream: AsyncIterable[bytes], limit: int) -> AsyncIterator[bytes]:
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
        raise ended_early()
    return body


def ended_early() -> falcon.HTTPBadRequest:
    """Return the error for a body that ended before it was complete."""
    return falcon.HTTPBadRequest(description=msg("The body ended before the length it was announced with."))


def too_large(limit: int) -> falcon.HTTPContentTooLarge:
    """Return the error for a body with more than `limit` bytes."""
    return falcon.HTTPContentTooLarge(description=msg("The body may have at most {limit} bytes.", limit=limit))


def install(
    app: "falcon.asgi.App[falcon.asgi.Request, falcon.asgi.Response]", max_body_bytes: int, max_file_bytes: int
) -> None:
    """Let an app read JSON of at most `max_body_bytes`, small forms, and files of at most `max_file_bytes` in forms."""
    json = JsonHandler(max_body_bytes)
    app.req_options.media_handlers = Handlers(
        {
            JSON: json,
            MERGE_PATCH: json,
            FORM: FormHandler(min(max_body_bytes, _MAX_FORM_BYTES)),
            MULTIPART: MultipartHandler(max_file_bytes),
        }
    )
