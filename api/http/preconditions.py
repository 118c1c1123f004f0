"""Conditional requests (RFC 9110): what an entity tag makes of them, and the version of a task as its tag."""

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
"""The versions that `If-Match` names, any of which will do; None where any version will."""


def set_etag(resp: Response, representation: Representation) -> str:
    """Put the version of a representation into the response's headers as its entity tag, and return the tag."""
    etag = f'"{representation.version}"'
    resp.set_header("ETag", etag)
    return etag


def is_known(req: Request, etag: str) -> bool:
    """Whether the client says that it has this version (`If-None-Match`)."""
    return any(known == "*" or f'"{known}"' == etag for known in req.if_none_match or ())


def _is_strong(tag: str) -> bool:
    return isinstance(tag, ETag) and not tag.is_weak
