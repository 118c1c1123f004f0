"""Conditional requests (RFC 9110) with `If-Match` and `If-None-Match`.

The entity tag of a task is its version. The forecast of a task changes without a new version, so the tag of a task with
a forecast continues with a hash of the whole task. `If-Match` is about changes that people make and ignores the hash.
"""

import hashlib
import re
from typing import Annotated, Final

from falcon import ETag
from falcon.asgi import Request, Response

from api.http.call import Call, FromRequest
from core.representations import Representation

_HASH_LENGTH: Final = 16
_TAG: Final = re.compile(rf"([0-9]{{1,10}})(?:-[0-9a-f]{{{_HASH_LENGTH}}})?")
# A text in the JSON cannot contain this, because the quotation marks of a text have a backslash before them.
_HAS_FORECAST: Final = '"forecast":{'


def _expected_versions(call: Call) -> frozenset[int] | None:
    tags = call.request.if_match
    if tags is None or "*" in tags:
        return None
    return frozenset(int(found[1]) for tag in tags if _is_strong(tag) and (found := _TAG.fullmatch(tag)))


ExpectedVersions = Annotated[
    frozenset[int] | None, FromRequest(_expected_versions, headers=("If-Match",), errors=(412,))
]
"""The versions in `If-Match`, of which one must be the current version. None means that every version is accepted."""


def set_etag(resp: Response, representation: Representation) -> str:
    """Set the `ETag` header to the entity tag of a representation, and return the tag."""
    etag = f'"{representation.version}{_hash(representation.json)}"'
    resp.set_header("ETag", etag)
    return etag


def _hash(json: str) -> str:
    """Return what follows the version in the tag: nothing for a task without a forecast."""
    if _HAS_FORECAST not in json:
        return ""
    return f"-{hashlib.sha256(json.encode(), usedforsecurity=False).hexdigest()[:_HASH_LENGTH]}"


def is_known(req: Request, etag: str) -> bool:
    """Return whether the client already has the version with this tag, according to `If-None-Match`."""
    return any(known == "*" or f'"{known}"' == etag for known in req.if_none_match or ())


def _is_strong(tag: str) -> bool:
    return isinstance(tag, ETag) and not tag.is_weak
