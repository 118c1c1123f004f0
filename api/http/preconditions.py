"""Conditional requests (RFC 9110) with `If-Match` and `If-None-Match`. The entity tag of a task is its version."""

import re
from typing import Annotated, Final

from falcon import ETag
from falcon.asgi import Request, Response

from api.http.call import Call, FromRequest
from core.representations import Representation

_VERSION: Final = re.compile(r"[0-9]{1,10}")


def _expected_versions(call: Call) -> frozenset[int] | None:
    tags = call.request.if_match
    if tags is None or "*" in tags:
        return None
    return frozenset(int(tag) for tag in tags if _is_strong(tag) and _VERSION.fullmatch(tag))


ExpectedVersions = Annotated[
    frozenset[int] | None, FromRequest(_expected_versions, headers=("If-Match",), errors=(412,))
]
"""The versions in `If-Match`, of which one must be the current version. None means that every version is accepted."""


def set_etag(resp: Response, representation: Representation) -> str:
    """Set the `ETag` header to the version of a representation, and return the tag."""
    etag = f'"{representation.version}"'
    resp.set_header("ETag", etag)
    return etag


def is_known(req: Request, etag: str) -> bool:
    """Return whether the client already has the version with this tag, according to `If-None-Match`."""
    return any(known == "*" or f'"{known}"' == etag for known in req.if_none_match or ())


def _is_strong(tag: str) -> bool:
    return isinstance(tag, ETag) and not tag.is_weak
