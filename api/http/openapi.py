"""Builds the OpenAPI 3.1 description of the API from the declarations of its operations (`api.http.operation`)."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import falcon

from api.http.errors import PROBLEM, problem
from api.http.fields import LARGEST_ID, Problem
from api.http.openapi_schemas import Json, Schemas
from api.http.operation import Operation, RateLimit, Responder, operation_of
from api.http.routing import MappedPath
from core import __version__
from core.config import API_PREFIX
from core.weather import OpenMeteo

_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
_PARAMETER: Final = re.compile(r"\{(\w+)(?::(\w+))?\}")
_ID_SCHEMA: Final[Json] = {"type": "integer", "format": "int64", "minimum": 1, "maximum": LARGEST_ID}
_TEXT_SCHEMA: Final[Json] = {"type": "string"}

_DESCRIPTION: Final = f"""\
Tasks for teams, with weather, reminders, notifications, analytics and live events.

Failures are problem documents (RFC 9457) with a stable `code`. Times are RFC 3339 with a zone. Paths without
`{API_PREFIX}` are for clients of earlier task managers, and are marked as deprecated: they stay, but new clients
should use `{API_PREFIX}`. Every GET may also be a HEAD, and a trailing slash never matters. Live events come over the
WebSocket `/ws`.

{OpenMeteo.attribution}, unless the `provider` of the weather says otherwise. Show this beside the weather.
"""

_IF_MATCH: Final[Json] = {
    "name": "If-Match",
    "in": "header",
    "description": "Carry the request out only if the version in this tag is the current one; otherwise 412.",
    "schema": _TEXT_SCHEMA,
    "example": '"3"',
}
_IDEMPOTENCY_KEY: Final[Json] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "A request that is repeated with the same key within 24 hours gets the first response.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "example": "0f5c3d2e-9a6b-4c7d-8e1f-2a3b4c5d6e7f",
}
_COUNT: Final[Json] = {"type": "integer", "minimum": 0}
HEADERS: Final[dict[str, Json]] = {
    "Accept-Ranges": {
        "description": "Parts of the file can be requested with `Range`.",
        "schema": _TEXT_SCHEMA,
        "example": "bytes",
    },
    "Content-Disposition": {
        "description": "The file is to be saved, under this name (RFC 6266).",
        "schema": _TEXT_SCHEMA,
        "example": "attachment; filename=\"gutters.jpg\"; filename*=UTF-8''gutters.jpg",
    },
    "ETag": {"description": "The state of the resource.", "schema": _TEXT_SCHEMA, "example": '"2c26b46b"'},
    "Link": {
        "description": "The neighbouring pages (RFC 8288).",
        "schema": _TEXT_SCHEMA,
        "example": f"<{API_PREFIX}/tasks?skip=100&limit=100>; rel=next",
    },
    "Location": {
        "description": "The address of the new resource.",
        "schema": {"type": "string", "format": "uri-reference"},
        "example": f"{API_PREFIX}/tasks/7",
    },
    "RateLimit-Limit": {"description": "How many requests may be sent in a window.", "schema": _COUNT, "example": 100},
    "RateLimit-Remaining": {
        "description": "How many requests are left in this window.",
        "schema": _COUNT,
        "example": 97,
    },
    "RateLimit-Reset": {"description": "Seconds until the next window.", "schema": _COUNT, "example": 42},
    "Retry-After": {"description": "Seconds after which to try again.", "schema": _COUNT, "example": 2},
    "WWW-Authenticate": {"description": "How to authenticate.", "schema": _TEXT_SCHEMA, "example": "Bearer"},
    "X-Request-ID": {
        "description": "The id of this request, which the log has, too: the one that was sent, or a new one.",
        "schema": _TEXT_SCHEMA,
        "example": "0f5c3d2e9a6b4c7d8e1f2a3b4c5d6e7f",
    },
    "X-Total-Count": {"description": "The number of items on all pages together.", "schema": _COUNT, "example": 250},
}
_ON_EVERY_RESPONSE: Final = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "X-Request-ID")


@dataclass(frozen=True)
class _FailureExample:
    code: str
    detail: str
    headers: tuple[str, ...] = ()
    errors: tuple[tuple[str, str], ...] = ()


_FAILURES: Final = {
    400: _FailureExample("malformed", "Could not parse JSON body."),
    401: _FailureExample("token_missing", "An access token is needed.", ("WWW-Authenticate",)),
    403: _FailureExample("task_forbidden", "This task is not yours."),
    404: _FailureExample("task_not_found", "There is no such task."),
    408: _FailureExample("refused", "The upload took too long."),
    409: _FailureExample("conflict", "Somebody else was faster."),
    412: _FailureExample("precondition_failed", "It has changed since you last saw it."),
    413: _FailureExample("body_too_large", "The body may have at most 1048576 bytes."),
    415: _FailureExample("unsupported_media_type", "The body must be application/json."),
    416: _FailureExample("range_not_satisfiable", "The content has no such bytes."),
    422: _FailureExample("invalid", "The request is not valid.", errors=(("title", "is required"),)),
    429: _FailureExample("rate_limited", "You may make 100 requests in this span.", ("Retry-After",)),
    503: _FailureExample("unavailable", "A part of the service is down. Please try again.", ("Retry-After",)),
}

_SECURITY_SCHEMES: Final[Json] = {
    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    "password": {"type": "oauth2", "flows": {"password": {"tokenUrl": f"{API_PREFIX}/auth/login", "scopes": {}}}},
}


def _security(operation: Operation) -> list[dict[str, list[str]]]:
    """Return the two ways to authenticate: a bearer token, with the needed scope, or the OAuth 2 password flow."""
    scopes = [] if operation.scope is None else [operation.scope.value]
    return [{"bearer": scopes}, {"password": []}]


def build_description(app_name: str, mapped_paths: Iterable[MappedPath]) -> Json:
    """Build the API description of all operations under these paths."""
    operations = [
        (mapped.path, method, operation)
        for mapped in mapped_paths
        for method, responder in _responders(mapped)
        if (operation := operation_of(responder)) is not None
    ]
    schemas = Schemas(operation for _, _, operation in operations)
    paths: dict[str, Json] = {}
    for path, method, operation in operations:
        template = _PARAMETER.sub(r"{\1}", path)
        paths.setdefault(template, {})[method.lower()] = _describe(path, method, operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": app_name,
            "version": __version__,
            "description": _DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(operation.tag for _, _, operation in operations)],
        "paths": paths,
        "components": {
            "schemas": schemas.definitions,
            "responses": {_failure_name(status): _describe_failure(status, schemas) for status in _FAILURES},
            "headers": HEADERS,
            "securitySchemes": _SECURITY_SCHEMES,
        },
    }


def _responders(mapped: MappedPath) -> Iterator[tuple[str, Responder]]:
    return ((method, mapped.responders[method]) for method in _METHODS if method in mapped.responders)


def _describe(path: str, method: str, operation: Operation, schemas: Schemas) -> Json:
    described: Json = {
        "operationId": "_".join([method.lower(), *re.findall(r"\w+", _PARAMETER.sub(r"\1", path))]),
        "summary": operation.summary,
        "description": operation.description,
        "tags": [operation.tag],
        "security": [] if operation.public else _security(operation),
        "parameters": [
            *_path_parameters(path),
            *schemas.query_parameters(operation.query),
            *_header_parameters(operation),
        ],
        "responses": {str(operation.status): _describe_success(operation, schemas)}
        | {str(status): {"$ref": f"#/components/responses/{_failure_name(status)}"} for status in _failures(operation)},
    }
    if _is_earlier(path, operation):
        described["deprecated"] = True
    if operation.bodies:
        described["requestBody"] = {
            "required": not operation.body_optional,
            "content": {kind: schemas.content(body, "validation") for kind, body in operation.bodies.items()},
        }
    return described


def _is_earlier(path: str, operation: Operation) -> bool:
    """Return whether this is a route for clients of earlier task managers: any without the prefix, except health."""
    return not path.startswith(f"{API_PREFIX}/") and operation.rate_limit is not RateLimit.HEALTH


def _path_parameters(path: str) -> Iterator[Json]:
    for name, converter in _PARAMETER.findall(path):
        schema = _ID_SCHEMA if converter == "id" else _TEXT_SCHEMA
        yield {"name": name, "in": "path", "required": True, "schema": schema, "example": 7 if converter else "…"}


def _header_parameters(operation: Operation) -> Iterator[Json]:
    return (header for header in (_IDEMPOTENCY_KEY, _IF_MATCH) if header["name"] in operation.request_headers)


def _describe_success(operation: Operation, schemas: Schemas) -> Json:
    success: Json = {
        "description": _phrase(operation.status),
        "headers": _header_references((*operation.headers, *_ON_EVERY_RESPONSE)),
    }
    if operation.returns is not None:
        kinds = {operation.media_type: operation.returns, **operation.alternatives}
        success["content"] = {name: schemas.content(kind, "serialization") for name, kind in kinds.items()}
    return success


def _failures(operation: Operation) -> list[int]:
    """Return the error statuses of an operation: the declared ones, and those that its declaration implies."""
    implied = {422, 429, 503}
    if not operation.public:
        implied |= {401, 403}
    if operation.bodies:
        implied |= {400, 413, 415}
    return sorted(implied | set(operation.errors))


def _describe_failure(status: int, schemas: Schemas) -> Json:
    failure = _FAILURES[status]
    example = problem(status, failure.code, failure.detail, HEADERS["X-Request-ID"]["example"])
    if failure.errors:
        example["errors"] = [{"field": field, "message": message} for field, message in failure.errors]
    return {
        "description": _phrase(status),
        "headers": _header_references((*failure.headers, *_ON_EVERY_RESPONSE)),
        "content": {PROBLEM: {"schema": schemas.reference(Problem, "serialization"), "example": example}},
    }


def _failure_name(status: int) -> str:
    return re.sub(r"\W", "", _phrase(status))


def _phrase(status: int) -> str:
    return str(falcon.code_to_http_status(status)).partition(" ")[2]


def _header_references(names: Iterable[str]) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
