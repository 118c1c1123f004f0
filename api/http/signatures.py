"""What the typed parameters of a responder say: how each argument is read, and the schemas of its query and body."""

import inspect
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Annotated, Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

from falcon.asgi import Request, Response
from pydantic import BaseModel

from api.http.bodies import FORM, JSON, MERGE_PATCH, RawBody
from api.http.call import Call, FromRequest
from api.http.fields import FormInput
from core.policy import Actor

Schema = type[BaseModel]
_Marker = TypeVar("_Marker")

_NAMED_READERS: Final[Mapping[str, Callable[[Call], Any]]] = {
    "actor": attrgetter("actor"),
    "query": attrgetter("query"),
    "body": attrgetter("body"),
}
_TYPED_READERS: Final[Mapping[Any, Callable[[Call], Any]]] = {
    Request: attrgetter("request"),
    Response: attrgetter("response"),
}


@dataclass(frozen=True)
class Signature:
    """What is derived from a responder's parameters: how each argument is read, and the schemas of the request."""

    readers: tuple[tuple[str, Callable[[Call], Any]], ...]
    markers: tuple[FromRequest, ...]
    query: Schema | None
    bodies: Mapping[str, Schema]
    raw_body: RawBody | None
    path: frozenset[str]


def signature_of(responder: Callable[..., Any]) -> Signature:
    """Return what the parameters of a responder say.

    Raises:
        TypeError: if `actor` is not annotated as `Actor`.
    """
    hints = get_type_hints(responder, include_extras=True)
    readers: dict[str, Callable[[Call], Any]] = {}
    markers: list[FromRequest] = []
    for name in list(inspect.signature(responder).parameters)[1:]:
        marker = _marker(hints[name], FromRequest)
        if marker is not None:
            markers.append(marker)
            readers[name] = marker.read
        elif name in _NAMED_READERS:
            readers[name] = _NAMED_READERS[name]
        elif hints[name] in _TYPED_READERS:
            readers[name] = _TYPED_READERS[hints[name]]
    if "actor" in readers and hints["actor"] is not Actor:
        raise TypeError(f"The parameter actor of {responder.__qualname__} must be an Actor.")
    return Signature(
        readers=tuple(readers.items()),
        markers=tuple(markers),
        query=hints.get("query"),
        bodies=_bodies(hints["body"], is_patch=responder.__name__.startswith("on_patch")) if "body" in hints else {},
        raw_body=_marker(hints.get("body"), RawBody),
        path=frozenset(hints.keys() - readers.keys() - {"return"}),
    )


def _marker(hint: Any, kind: type[_Marker]) -> _Marker | None:
    """Return the first marker of this kind in an `Annotated[...]`, or None."""
    if get_origin(hint) is not Annotated:
        return None
    return next((marker for marker in get_args(hint) if isinstance(marker, kind)), None)


def _bodies(hint: Any, *, is_patch: bool) -> Mapping[str, Schema]:
    """Return the schema of a body for each media type: form schemas for forms, all others for JSON.

    The JSON schema of a PATCH also applies to a merge patch.
    """
    raw_body = _marker(hint, RawBody)
    if raw_body is not None:
        return raw_body.schemas
    schemas: dict[str, Schema] = {}
    for schema in get_args(hint) if get_origin(hint) in {Union, types.UnionType} else (hint,):
        if issubclass(schema, FormInput):
            schemas[FORM] = schema
        else:
            schemas[JSON] = schema
            if is_patch:
                schemas[MERGE_PATCH] = schema
    return schemas
