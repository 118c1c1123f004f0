"""What a responder says of itself, in one place: `@document(...)` describes an operation and enforces what it says.

Before the responder runs, the caller is known (unless it is public), then query and body are held against their
schemas; in that order, so that a stranger learns nothing about them. What is found stands in `req.context`: `actor`,
`query`, `json` (the body, also where it came as a form), `form` (the parts of a multipart body, still to be read).
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import falcon
from falcon.asgi import Request, Response
from pydantic import BaseModel, ConfigDict

from api.http.auth import require_actor, require_scope
from api.http.bodies import FORM, JSON, MERGE_PATCH, MULTIPART
from api.http.validation import JsonText, Pairs, validate
from core.messages import msg
from core.policy import Scope

Schema = type[BaseModel]
Responder = Callable[..., Any]

_ATTRIBUTE: Final = "operation"
_UNLISTED: Final = "unlisted"
_EMPTY: Final = JsonText(b"{}", {})


class NoQuery(BaseModel):
    """The query of an operation that takes none."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


@dataclass(frozen=True)
class Operation:
    """A responder as clients see it: `bodies` are schemas by media type, `answer` is a type or, for no body, None."""

    summary: str
    description: str
    tag: str
    public: bool
    scope: Scope | None
    query: Schema
    bodies: Mapping[str, Schema]
    body_optional: bool
    streamed: bool
    status: int
    answer: Any
    media_type: str
    alternatives: Mapping[str, Schema]
    headers: tuple[str, ...]
    idempotent: bool
    errors: tuple[int, ...]


def operation_of(responder: Responder) -> Operation | None:
    """What a responder says of itself, where it does."""
    return getattr(responder, _ATTRIBUTE, None)


def unlisted(responder: Responder) -> Responder:
    """Leave a responder out of the API's document: a page for people, say."""
    setattr(responder, _UNLISTED, True)
    return responder


def is_unlisted(responder: Responder) -> bool:
    """Whether a responder is left out of the API's document on purpose."""
    return getattr(responder, _UNLISTED, False)


def document(  # noqa: PLR0913 - each argument is one fact of the operation, and most have a default.
    *,
    summary: str,
    answer: tuple[int, Any],
    tag: str,
    description: str = "",
    public: bool = False,
    scope: Scope | None = None,
    query: Schema = NoQuery,
    body: Schema | None = None,
    form: Schema | None = None,
    multipart: Schema | None = None,
    body_optional: bool = False,
    streamed: Mapping[str, Schema] | None = None,
    media_type: str = JSON,
    alternatives: Mapping[str, Schema] | None = None,
    headers: tuple[str, ...] = (),
    idempotent: bool = False,
    errors: tuple[int, ...] = (),
) -> Callable[[Responder], Responder]:
    """Describe a responder, and hold requests to the description.

    Args:
        summary: What it does, in a few words.
        answer: The status of success and the type of the answer's body, as in `(201, TaskOut)` or `(204, None)`.
        tag: The heading it stands under.
        description: What the summary cannot say.
        public: Whether anybody may call it without a token.
        scope: What a personal access token must be for; without it none will do.
        query: The schema of the query; a query that is not in it is refused.
        body: The schema of a JSON body; of a merge patch too, where the method is PATCH.
        form: The schema of a body that comes as a URL-encoded form.
        multipart: The schema of a body with files, for the document alone: the responder reads it part by part.
        body_optional: Whether no body counts as `{}`.
        streamed: A body that the responder reads from `req.stream` itself, held against nothing but its media type,
            in lower case then in `req.content_type`: what it is like, by media type.
        media_type: The type of the answer.
        alternatives: What the answer may also be, by media type.
        headers: The headers of the answer that are worth knowing, out of `api.http.openapi.HEADERS`.
        idempotent: Whether it takes an `Idempotency-Key`.
        errors: The failures of its own. Those that follow from the rest (401, 422, ...) need not be named.
    """

    def decorate(responder: Responder) -> Responder:
        bodies = {} if body is None else {JSON: body}
        if body is not None and responder.__name__.startswith("on_patch"):
            bodies[MERGE_PATCH] = body
        if form is not None:
            bodies[FORM] = form
        bodies |= streamed or {}
        if multipart is not None:
            bodies[MULTIPART] = multipart
        status, answer_type = answer
        operation = Operation(
            summary=summary,
            description=description,
            tag=tag,
            public=public,
            scope=scope,
            query=query,
            bodies=bodies,
            body_optional=body_optional,
            streamed=streamed is not None,
            status=status,
            answer=answer_type,
            media_type=media_type,
            alternatives=alternatives or {},
            headers=headers,
            idempotent=idempotent,
            errors=errors,
        )

        @functools.wraps(responder)
        async def enforced(resource: object, req: Request, resp: Response, **parameters: Any) -> None:
            context: Any = req.context
            if not public:
                context.actor = await require_actor(req)
                require_scope(context.actor, scope)
            if req.params or query is not NoQuery:
                context.query = validate(query, Pairs(req.params))
            if operation.streamed:
                _expect_media_type(req, operation)
            elif bodies:
                await _read_body(req, operation)
            await responder(resource, req, resp, **parameters)

        setattr(enforced, _ATTRIBUTE, operation)
        return enforced

    return decorate


async def _read_body(req: Request, operation: Operation) -> None:
    """Read the body and hold it against the schema of its media type; without a type it counts as JSON."""
    schema = _expect_media_type(req, operation)
    context: Any = req.context
    if schema is operation.bodies.get(MULTIPART):
        context.form = await req.get_media()
        return
    sent = await (req.get_media(default_when_empty=_EMPTY) if operation.body_optional else req.get_media())
    context.json = validate(schema, sent)


def _expect_media_type(req: Request, operation: Operation) -> Schema:
    named, separator, parameters = (req.content_type or JSON).partition(";")
    media_type = named.strip().lower()
    schema = operation.bodies.get(media_type)
    if schema is None:
        raise falcon.HTTPUnsupportedMediaType(
            description=msg("The body must be one of: {types}.", types=", ".join(operation.bodies))
        )
    # Falcon looks its handlers up letter by letter, while media types know no case.
    req.content_type = media_type + separator + parameters if media_type == MULTIPART else media_type
    return schema
