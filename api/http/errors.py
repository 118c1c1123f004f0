"""Turns exceptions into responses: every error response is a problem document (RFC 9457) without internal details.

The document's `type` is a URN made of the `code`; it is not an address that can be opened.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Final

import falcon
import falcon.asgi
import orjson
import structlog
from falcon.asgi import Request, Response, WebSocket
from peewee import IntegrityError, InterfaceError, OperationalError
from psycopg2.errors import ForeignKeyViolation

from api.http.call import Call, FromRequest
from api.http.languages import reader_language
from core.errors import (
    Conflict,
    Failure,
    FieldError,
    Forbidden,
    Invalid,
    NotFound,
    PreconditionFailed,
    Rejected,
    TooLarge,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)
from core.messages import SOURCE_LANGUAGE, Message, msg, translate

log = structlog.get_logger()

PROBLEM: Final = "application/problem+json"

STATUSES: Final[Mapping[type[Failure], int]] = {
    Rejected: 400,
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    PreconditionFailed: 412,
    TooLarge: 413,
    Invalid: 422,
    TooManyRequests: 429,
    Unavailable: 503,
}

# Errors that Falcon raises itself: their stable code, and the detail to use if the error has no translatable text.
_HTTP_ERRORS: Final[Mapping[type[falcon.HTTPError], tuple[str, str]]] = {
    falcon.MediaNotFoundError: ("body_missing", msg("A body is needed.")),
    falcon.MediaMalformedError: ("malformed", msg("The body cannot be read.")),
    falcon.HTTPBadRequest: ("bad_request", msg("The request cannot be understood.")),
    falcon.HTTPNotFound: ("route_not_found", msg("There is nothing at this address.")),
    falcon.HTTPMethodNotAllowed: ("method_not_allowed", msg("This address does not take this method.")),
    falcon.HTTPContentTooLarge: ("body_too_large", msg("The body is too large.")),
    falcon.HTTPRangeNotSatisfiable: ("range_not_satisfiable", msg("The content has no such bytes.")),
    falcon.HTTPUnsupportedMediaType: ("unsupported_media_type", msg("The body's media type is not taken here.")),
    falcon.HTTPError: ("refused", msg("The request is refused.")),
}

TITLES: Final = {
    400: msg("Bad Request"),
    401: msg("Unauthorized"),
    403: msg("Forbidden"),
    404: msg("Not Found"),
    405: msg("Method Not Allowed"),
    408: msg("Request Timeout"),
    409: msg("Conflict"),
    412: msg("Precondition Failed"),
    413: msg("Content Too Large"),
    415: msg("Unsupported Media Type"),
    416: msg("Range Not Satisfiable"),
    422: msg("Unprocessable Entity"),
    429: msg("Too Many Requests"),
    500: msg("Internal Server Error"),
    503: msg("Service Unavailable"),
}

_INTERNAL_ERROR: Final = 500
_UNEXPECTED: Final = msg("Something went wrong here; it has been noted.")
_DATABASE_DOWN: Final = Unavailable(
    msg("The database cannot be reached. Please try again."), code="database_unavailable"
)

_CHANGED_MEANWHILE: Final = Conflict(
    msg("Something that this is about has changed meanwhile. Please look again."), code="changed_meanwhile"
)

# WebSocket close codes from 4000 are free for applications. The code is 4000 plus the HTTP status.
_SOCKET_CODE_BASE: Final = 4000
_SOCKET_INTERNAL_ERROR: Final = 1011


def problem(
    status: int,
    code: str,
    detail: str,
    request_id: str | None = None,
    *,
    errors: Sequence[FieldError] = (),
    language: str = SOURCE_LANGUAGE,
) -> dict[str, Any]:
    """Return a problem document in the given language."""
    title = TITLES.get(status) or falcon.code_to_http_status(status).partition(" ")[2]
    document: dict[str, Any] = {
        "type": f"urn:allweather:problem:{code}",
        "title": translate(title, language),
        "status": status,
        "detail": translate(detail, language),
        "code": code,
        "request_id": request_id,
    }
    if errors:
        document["errors"] = describe_fields(errors, language)
    return document


def describe_fields(errors: Sequence[FieldError], language: str) -> list[dict[str, str]]:
    """Return the `errors` member of a problem document in the given language."""
    return [{"field": error.field, "message": translate(error.message, language)} for error in errors]


def install(app: "falcon.asgi.App[Request, Response]") -> None:
    """Make an app respond to every exception with a problem document."""
    app.add_error_handler(Failure, _write_failure)
    app.add_error_handler(falcon.HTTPError, _write_http_error)
    app.add_error_handler((OperationalError, InterfaceError), _write_database_error)
    app.add_error_handler(IntegrityError, _write_integrity_error)
    app.add_error_handler(Exception, _write_internal_error)


def describe_failure(req: Request, failure: Failure) -> dict[str, Any]:
    """Return the problem document of a failure."""
    errors = failure.errors if isinstance(failure, Invalid) else ()
    document = _describe(req, _status_of(failure), failure.stable_code, failure.detail, errors)
    return document if failure.at is None else document | {"operation": failure.at}


def _status_of(failure: Failure) -> int:
    return next(STATUSES[kind] for kind in type(failure).__mro__ if kind in STATUSES)


def _describer(call: Call) -> Callable[[Failure], dict[str, Any]]:
    return partial(describe_failure, call.request)


FailureDescriber = Annotated[Callable[[Failure], dict[str, Any]], FromRequest(_describer)]
"""A function that returns the problem document of a failure, for operations that report failures inside a result."""


def write_status(resp: Response, failure: Failure) -> None:
    """Set the status of a failure, and the headers that belong to it, for a response with a body of its own."""
    resp.status = _status_of(failure)
    if isinstance(failure, Unauthenticated):
        resp.set_header("WWW-Authenticate", "Bearer")
    if isinstance(failure, TooManyRequests | Unavailable):
        resp.set_header("Retry-After", str(failure.retry_after))


async def _write_failure(
    req: Request, resp: Response | None, failure: Failure, _params: dict[str, Any], ws: WebSocket | None = None
) -> None:
    if resp is None:
        await _close(ws, _status_of(failure))
        return
    write_status(resp, failure)
    _write(req, resp, describe_failure(req, failure))


async def _write_http_error(
    req: Request, resp: Response | None, error: falcon.HTTPError, _params: dict[str, Any], ws: WebSocket | None = None
) -> None:
    if resp is None:
        await _close(ws, error.status_code)
        return
    code, detail = next(_HTTP_ERRORS[kind] for kind in type(error).__mro__ if kind in _HTTP_ERRORS)
    if error.headers is not None:
        resp.set_headers(error.headers)
    # Falcon's own descriptions exist only in English, so they are not used.
    description = error.description if isinstance(error.description, Message) else detail
    _write(req, resp, _describe(req, error.status_code, code, description))


async def _write_database_error(
    req: Request, resp: Response | None, error: Exception, params: dict[str, Any], ws: WebSocket | None = None
) -> None:
    # Only the type is logged, because PostgreSQL's message may quote a statement with its values.
    log.warning("database_unavailable", reason=type(error).__name__, route=req.uri_template)
    await _write_failure(req, resp, _DATABASE_DOWN, params, ws)


async def _write_integrity_error(
    req: Request, resp: Response | None, error: Exception, params: dict[str, Any], ws: WebSocket | None = None
) -> None:
    """Respond with 409 if a referenced row was deleted during the request, for example an account."""
    if not isinstance(error.__context__, ForeignKeyViolation):
        await _write_internal_error(req, resp, error, params, ws)
        return
    log.warning("constraint_violated", reason=type(error).__name__, route=req.uri_template)
    await _write_failure(req, resp, _CHANGED_MEANWHILE, params, ws)


async def _write_internal_error(
    req: Request, resp: Response | None, error: Exception, _params: dict[str, Any], ws: WebSocket | None = None
) -> None:
    log.error("unhandled_exception", method=req.method, route=req.uri_template, exc_info=error)
    if resp is None:
        await _close(ws, _INTERNAL_ERROR)
        return
    _write(req, resp, _describe(req, _INTERNAL_ERROR, "internal_error", _UNEXPECTED))


async def _close(ws: WebSocket | None, status: int) -> None:
    """Close a WebSocket. If it has not been accepted yet, this refuses the handshake, and the client sees no code."""
    if ws is not None:
        await ws.close(_SOCKET_INTERNAL_ERROR if status >= _INTERNAL_ERROR else _SOCKET_CODE_BASE + status)


def _describe(req: Request, status: int, code: str, detail: str, errors: Sequence[FieldError] = ()) -> dict[str, Any]:
    request_id = getattr(req.context, "request_id", None)
    return problem(status, code, detail, request_id, errors=errors, language=reader_language(req))


def _write(req: Request, resp: Response, document: dict[str, Any]) -> None:
    resp.status = document["status"]
    resp.content_type = PROBLEM
    resp.set_header("Cache-Control", "no-store")
    resp.set_header("Content-Language", reader_language(req))
    resp.append_header("Vary", "Accept-Language")
    resp.data = orjson.dumps(document)
