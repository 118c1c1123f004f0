"""From a failure to the answer: every error is a problem document (RFC 9457) that tells its kind, and no secret.

`type` is a name, not an address: it says the same as `code`.
"""

from collections.abc import Mapping
from typing import Any, Final

import falcon
import falcon.asgi
import orjson
import structlog
from falcon.asgi import Request, Response, WebSocket
from peewee import InterfaceError, OperationalError

from core.errors import (
    Conflict,
    Failure,
    Forbidden,
    Invalid,
    NotFound,
    PreconditionFailed,
    Rejected,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)

log = structlog.get_logger()

PROBLEM: Final = "application/problem+json"

STATUSES: Final[Mapping[type[Failure], int]] = {
    Rejected: 400,
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    PreconditionFailed: 412,
    Invalid: 422,
    TooManyRequests: 429,
    Unavailable: 503,
}

# What Falcon refuses by itself: the stable code, and what to say where Falcon says nothing.
_HTTP_ERRORS: Final[Mapping[type[falcon.HTTPError], tuple[str, str]]] = {
    falcon.MediaNotFoundError: ("body_missing", "A body is needed."),
    falcon.MediaMalformedError: ("malformed", "The body cannot be read."),
    falcon.HTTPBadRequest: ("bad_request", "The request cannot be understood."),
    falcon.HTTPNotFound: ("route_not_found", "There is nothing at this address."),
    falcon.HTTPMethodNotAllowed: ("method_not_allowed", "This address does not take this method."),
    falcon.HTTPContentTooLarge: ("body_too_large", "The body is too large."),
    falcon.HTTPUnsupportedMediaType: ("unsupported_media_type", "The body's media type is not taken here."),
    falcon.HTTPError: ("refused", "The request is refused."),
}

_INTERNAL_ERROR: Final = 500
_UNEXPECTED: Final = "Something went wrong here; it has been noted."
_DATABASE_DOWN: Final = Unavailable("The database cannot be reached. Please try again.", code="database_unavailable")

# A socket closes with a code of the range that is free for applications, which ends in the status.
_SOCKET_CODES_FROM: Final = 4000
_SOCKET_INTERNAL_ERROR: Final = 1011


def problem(status: int, code: str, detail: str, request_id: str | None = None) -> dict[str, Any]:
    """The members that every problem document has."""
    return {
        "type": f"urn:allweather:problem:{code}",
        "title": falcon.code_to_http_status(status).partition(" ")[2],
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id,
    }


def install(app: "falcon.asgi.App[Request, Response]") -> None:
    """Answer every failure with a problem document."""
    app.add_error_handler(Failure, _answer_failure)
    app.add_error_handler(falcon.HTTPError, _answer_http_error)
    app.add_error_handler((OperationalError, InterfaceError), _answer_database_error)
    app.add_error_handler(Exception, _answer_mistake)


async def _answer_failure(
    req: Request, resp: Response | None, failure: Failure, _params: dict[str, Any], ws: WebSocket | None = None
) -> None:
    status = next(STATUSES[kind] for kind in type(failure).__mro__ if kind in STATUSES)
    if resp is None:
        await _close(ws, status)
        return
    extra = {}
    if isinstance(failure, Invalid):
        extra["errors"] = [{"field": error.field, "message": error.message} for error in failure.errors]
    if isinstance(failure, Unauthenticated):
        resp.set_header("WWW-Authenticate", "Bearer")
    if isinstance(failure, TooManyRequests | Unavailable):
        resp.set_header("Retry-After", str(failure.retry_after))
    _write(req, resp, status, failure.stable_code, failure.detail, extra)


async def _answer_http_error(
    req: Request, resp: Response | None, error: falcon.HTTPError, _params: dict[str, Any], ws: WebSocket | None = None
) -> None:
    if resp is None:
        await _close(ws, error.status_code)
        return
    code, detail = next(_HTTP_ERRORS[kind] for kind in type(error).__mro__ if kind in _HTTP_ERRORS)
    if error.headers is not None:
        resp.set_headers(error.headers)
    _write(req, resp, error.status_code, code, error.description or detail)


async def _answer_database_error(
    req: Request, resp: Response | None, error: Exception, params: dict[str, Any], ws: WebSocket | None = None
) -> None:
    # The kind alone: what PostgreSQL says may quote a statement with its values.
    log.warning("database_unavailable", reason=type(error).__name__, route=req.uri_template)
    await _answer_failure(req, resp, _DATABASE_DOWN, params, ws)


async def _answer_mistake(
    req: Request, resp: Response | None, error: Exception, _params: dict[str, Any], ws: WebSocket | None = None
) -> None:
    log.error("unhandled_exception", method=req.method, route=req.uri_template, exc_info=error)
    if resp is None:
        await _close(ws, _INTERNAL_ERROR)
        return
    _write(req, resp, _INTERNAL_ERROR, "internal_error", _UNEXPECTED)


async def _close(ws: WebSocket | None, status: int) -> None:
    """Close a socket; before it was accepted, the handshake is refused and the code is lost."""
    if ws is not None:
        await ws.close(_SOCKET_INTERNAL_ERROR if status >= _INTERNAL_ERROR else _SOCKET_CODES_FROM + status)


def _write(
    req: Request, resp: Response, status: int, code: str, detail: str, extra: Mapping[str, Any] | None = None
) -> None:
    resp.status = status
    resp.content_type = PROBLEM
    resp.set_header("Cache-Control", "no-store")
    request_id = getattr(req.context, "request_id", None)
    resp.data = orjson.dumps(problem(status, code, detail, request_id) | dict(extra or {}))
