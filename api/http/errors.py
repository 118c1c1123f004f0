"""From a failure to the answer: every error is a problem document (RFC 9457) that tells its kind, and no secret.

`type` is a name, not an address: it says the same as `code`.
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

# What Falcon refuses by itself: the stable code, and what to say where Falcon says nothing.
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

# A socket closes with a code of the range that is free for applications, which ends in the status.
_SOCKET_CODES_FROM: Final = 4000
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
    """A problem document, in the reader's language."""
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
    """Tell in the reader's language what is wrong with which field."""
    return [{"field": error.field, "message": translate(error.message, language)} for error in errors]


def install(app: "falcon.asgi.App[Request, Response]") -> None:
    """Answer every failure with a problem document."""
    app.add_error_handler(Failure, _answer_failure)
    app.add_error_handler(falcon.HTTPError, _answer_http_error)
    app.add_error_handler((OperationalError, InterfaceError), _answer_database_error)
    app.add_error_handler(IntegrityError, _answer_integrity_error)
    app.add_error_handler(Exception, _answer_mistake)


def describe_failure(req: Request, failure: Failure) -> dict[str, Any]:
    """The problem document of a failure."""
    status = next(STATUSES[kind] for kind in type(failure).__mro__ if kind in STATUSES)
    errors = failure.errors if isinstance(failure, Invalid) else ()
    document = _describe(req, status, failure.stable_code, failure.detail, errors)
    return document if failure.at is None else document | {"operation": failure.at}


def _describer(call: Call) -> Callable[[Failure], dict[str, Any]]:
    return partial(describe_failure, call.request)


FailureDescriber = Annotated[Callable[[Failure], dict[str, Any]], FromRequest(_describer)]
"""Makes the problem document of a failure that is a part of a result instead of being the response."""


async def _answer_failure(
    req: Request, resp: Response | None, failure: Failure, _params: dict[str, Any], ws: WebSocket | None = None
) -> None:
    document = describe_failure(req, failure)
    if resp is None:
        await _close(ws, document["status"])
        return
    if isinstance(failure, Unauthenticated):
        resp.set_header("WWW-Authenticate", "Bearer")
    if isinstance(failure, TooManyRequests | Unavailable):
        resp.set_header("Retry-After", str(failure.retry_after))
    _write(req, resp, document)


async def _answer_http_error(
    req: Request, resp: Response | None, error: falcon.HTTPError, _params: dict[str, Any], ws: WebSocket | None = None
) -> None:
    if resp is None:
        await _close(ws, error.status_code)
        return
    code, detail = next(_HTTP_ERRORS[kind] for kind in type(error).__mro__ if kind in _HTTP_ERRORS)
    if error.headers is not None:
        resp.set_headers(error.headers)
    # What Falcon itself describes it does in English only.
    described = error.description if isinstance(error.description, Message) else detail
    _write(req, resp, _describe(req, error.status_code, code, described))


async def _answer_database_error(
    req: Request, resp: Response | None, error: Exception, params: dict[str, Any], ws: WebSocket | None = None
) -> None:
    # The kind alone: what PostgreSQL says may quote a statement with its values.
    log.warning("database_unavailable", reason=type(error).__name__, route=req.uri_template)
    await _answer_failure(req, resp, _DATABASE_DOWN, params, ws)


async def _answer_integrity_error(
    req: Request, resp: Response | None, error: Exception, params: dict[str, Any], ws: WebSocket | None = None
) -> None:
    """What a row refers to may go while a request is served: an account that is being deleted, say."""
    if not isinstance(error.__context__, ForeignKeyViolation):
        await _answer_mistake(req, resp, error, params, ws)
        return
    log.warning("constraint_violated", reason=type(error).__name__, route=req.uri_template)
    await _answer_failure(req, resp, _CHANGED_MEANWHILE, params, ws)


async def _answer_mistake(
    req: Request, resp: Response | None, error: Exception, _params: dict[str, Any], ws: WebSocket | None = None
) -> None:
    log.error("unhandled_exception", method=req.method, route=req.uri_template, exc_info=error)
    if resp is None:
        await _close(ws, _INTERNAL_ERROR)
        return
    _write(req, resp, _describe(req, _INTERNAL_ERROR, "internal_error", _UNEXPECTED))


async def _close(ws: WebSocket | None, status: int) -> None:
    """Close a socket; before it was accepted, the handshake is refused and the code is lost."""
    if ws is not None:
        await ws.close(_SOCKET_INTERNAL_ERROR if status >= _INTERNAL_ERROR else _SOCKET_CODES_FROM + status)


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
