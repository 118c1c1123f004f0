"""`@operation(...)` declares a method of a resource as the responder of an HTTP operation.

The declaration is enforced for each request, and the API description is built from it. The method has a typed
parameter for each value that it needs, and returns its result:

    @operation(200, TaskOut, tag="tasks", scope=Scope.TASKS_READ, headers=("ETag",), errors=(404,))
    async def on_get(self, actor: Actor, task_id: int) -> Representation:
        '''Read a task.'''

- `actor: Actor` is the caller;
- `body` and `query` are validated against the schemas of their annotations;
- a parameter annotated with a `FromRequest` gets the value that its `read` function returns;
- `req: Request` and `resp: Response` are Falcon's own objects, for responders that need them;
- any other parameter is a parameter of the path.

In the API description, the docstring's first paragraph is the operation's summary, and the rest is its description.
Before the method runs, the caller is authenticated and authorized (unless the operation is public). Only then the query
and the body are validated, so that callers without permission learn nothing about them. `api.http.responses` turns the
result into the response.
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, get_origin

import falcon
from falcon.asgi import Request, Response
from pydantic import BaseModel, ConfigDict

from api.http.auth import require_actor, require_admin, require_scope
from api.http.bodies import JSON, RawBody, expect_media_type, read_media
from api.http.call import Call
from api.http.places import RequestPlaces
from api.http.responses import write_result
from api.http.signatures import Schema, Signature, signature_of
from api.http.validation import JsonText, Pairs, validate
from core.policy import Actor, Scope

Responder = Callable[..., Any]

_ATTRIBUTE: Final = "operation"
_UNLISTED: Final = "unlisted"
_UNLISTED_LIMIT: Final = "unlisted limit"
_OK: Final = 200
_EMPTY: Final = JsonText(b"{}", {})


class RateLimit(Enum):
    """Which of the configured limits a request of an operation counts against.

    Requests that end sessions are counted for each session separately: one can always end a session that uses up the
    allowance of its account.
    """

    GENERAL = "general"
    CREDENTIALS = "credentials"
    ENDING_SESSIONS = "ending sessions"
    HEALTH = "health"
    FILES = "files"


class NoQuery(BaseModel):
    """The query of an operation without query parameters."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


@dataclass(frozen=True)
class Operation:
    """The declaration of an operation: its parameters, its result, the permissions it needs, and its rate limit.

    `bodies` holds the schema of the request body for each media type. `returns` is the type of the response body, or
    None.
    """

    summary: str
    description: str
    tag: str
    public: bool
    scope: Scope | None
    admin: bool
    rate_limit: RateLimit
    weight: int
    path_parameters: frozenset[str]
    query: Schema
    bodies: Mapping[str, Schema]
    body_optional: bool
    max_body: int | None
    request_headers: tuple[str, ...]
    status: int
    returns: Any
    media_type: str
    alternatives: Mapping[str, Schema]
    headers: tuple[str, ...]
    errors: tuple[int, ...]


def operation_of(responder: Responder) -> Operation | None:
    """Return the declaration of a responder, or None."""
    return getattr(responder, _ATTRIBUTE, None)


def unlisted(responder: Responder) -> Responder:
    """Mark a responder that is not part of the API description, such as an HTML page. Anybody may call it."""
    setattr(responder, _UNLISTED, True)
    return responder


def unlisted_within(limit: RateLimit) -> Callable[[Responder], Responder]:
    """Mark a responder as `unlisted()` does, whose requests count against this limit instead of the general one."""

    def decorate(responder: Responder) -> Responder:
        setattr(responder, _UNLISTED_LIMIT, limit)
        return unlisted(responder)

    return decorate


def unlisted_limit_of(responder: Responder) -> RateLimit:
    """Return which limit the requests of an unlisted responder count against."""
    limit: RateLimit = getattr(responder, _UNLISTED_LIMIT, RateLimit.GENERAL)
    return limit


def is_unlisted(responder: Responder) -> bool:
    """Return whether a responder is deliberately not part of the API description."""
    return getattr(responder, _UNLISTED, False)


def operation(  # noqa: PLR0913 - each argument is one fact of the operation, and most have a default.
    status: int,
    returns: Any = None,
    *,
    tag: str,
    public: bool = False,
    scope: Scope | None = None,
    admin: bool = False,
    rate_limit: RateLimit = RateLimit.GENERAL,
    weight: int = 1,
    places: int | None = None,
    body_optional: bool = False,
    max_body: int | None = None,
    media_type: str = JSON,
    alternatives: Mapping[str, Schema] | None = None,
    headers: tuple[str, ...] = (),
    errors: tuple[int, ...] = (),
) -> Callable[[Responder], Responder]:
    """Declare an operation, and enforce the declaration for each request.

    Args:
        status: The status of a successful response.
        returns: The type of the response body, or None if there is no body.
        tag: The heading of the operation in the API description.
        public: Whether it may be called without a token.
        scope: The scope that a personal access token needs. If it is None, no personal access token is accepted.
        admin: Whether the caller must be an admin.
        rate_limit: Which limit its requests count against.
        weight: As how many requests one request counts there.
        places: How many requests of one user a process serves at the same time; None means any number.
        body_optional: Whether a request without a body is read as `{}`.
        max_body: The largest JSON document or form that is read, in bytes, if it is less than `MAX_BODY_BYTES`.
        media_type: The media type of the response body.
        alternatives: Further media types that the response body may have, with their schemas.
        headers: The response headers to describe, all of them from `api.http.openapi.HEADERS`. If `ETag`, `Location`,
            `Link` or `X-Total-Count` is listed here, it is set from the result.
        errors: The error statuses that are specific to this operation. Those that follow from the rest of the
            declaration (401, 422, ...) are added automatically.

    Raises:
        TypeError: if a public operation has a parameter `actor` or `places`, if `actor` is not annotated as `Actor`, or
            if the docstring is missing.
    """

    def decorate(responder: Responder) -> Responder:
        signature = signature_of(responder)
        if public and "actor" in dict(signature.readers):
            raise TypeError(f"{responder.__qualname__} is public, so there is no caller that it could be given.")
        if public and places is not None:
            raise TypeError(f"{responder.__qualname__} is public, so there is no caller whose places it could take.")
        summary, description = _texts_of(responder)
        declared = Operation(
            summary=summary,
            description=description,
            tag=tag,
            public=public,
            scope=scope,
            admin=admin,
            rate_limit=rate_limit,
            weight=weight,
            path_parameters=signature.path,
            query=signature.query or NoQuery,
            bodies=signature.bodies,
            body_optional=body_optional,
            max_body=max_body,
            request_headers=tuple(name for marker in signature.markers for name in marker.headers),
            status=status,
            returns=returns,
            media_type=media_type,
            alternatives=alternatives or {},
            headers=headers,
            errors=(*errors, *(error for marker in signature.markers for error in marker.errors)),
        )
        enforced = _enforced(responder, declared, signature, None if places is None else RequestPlaces(places))
        setattr(enforced, _ATTRIBUTE, declared)
        return enforced

    return decorate


def _enforced(
    responder: Responder, declared: Operation, signature: Signature, places: RequestPlaces | None
) -> Responder:
    """Return the function that Falcon calls: it checks the request, calls the responder and writes the result.

    A responder whose declared type is a `list[...]` may return a page, which is then written as a bare array.
    """
    as_array = get_origin(declared.returns) is list

    @functools.wraps(responder)
    async def respond(resource: object, req: Request, resp: Response, **arguments: Any) -> None:
        call = Call(req, resp)
        if not declared.public:
            call.actor = await _authorized(req, declared)
            if places is not None:
                places.take_for_request(call.actor.user_id)
        if req.params or declared.query is not NoQuery:
            call.query = validate(declared.query, Pairs(req.params))
        if declared.bodies:
            call.body = await _read_body(req, declared, signature.raw_body)
        for name, read in signature.readers:
            arguments[name] = read(call)
        if declared.status != _OK:
            resp.status = declared.status
        result = await responder(resource, **arguments)
        if result is not None:
            write_result(call, result, declared.headers, as_array=as_array)

    return respond


async def _authorized(req: Request, declared: Operation) -> Actor:
    actor = await require_actor(req)
    require_scope(actor, declared.scope)
    if declared.admin:
        require_admin(actor)
    return actor


async def _read_body(req: Request, declared: Operation, raw_body: RawBody | None) -> Any:
    """Read the body and validate it against the schema of its media type."""
    media_type = expect_media_type(req, declared.bodies)
    if raw_body is not None:
        return await raw_body.read(req)
    try:
        sent = await read_media(req, media_type, declared.max_body)
    except falcon.MediaNotFoundError:
        if not declared.body_optional:
            raise
        sent = _EMPTY
    return validate(declared.bodies[media_type], sent)


def _texts_of(responder: Responder) -> tuple[str, str]:
    """Return the summary and the description of an operation from its docstring."""
    first, _, rest = (inspect.getdoc(responder) or "").partition("\n\n")
    if not first:
        raise TypeError(f"{responder.__qualname__} needs a docstring, since the API description quotes it.")
    return " ".join(first.split()).removesuffix("."), " ".join(rest.split())
