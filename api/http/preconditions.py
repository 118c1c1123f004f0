"""Conditional requests (RFC 9110): what an entity tag makes of them, and the version of a task as its tag."""

import re
from typing import Final

from falcon import ETag
from falcon.asgi import Request, Response

from core.representations import Representation

_VERSION: Final = re.compile(r"[0-9]{1,10}")


def expected_versions(req: Request) -> frozenset[int] | None:
    """The versions that `If-Match` names, any of which will do; None where any version will."""
    tags = req.if_match
    if tags is None or "*" in tags:
        return None
    return frozenset(int(tag) for tag in tags if _is_strong(tag) and _VERSION.fullmatch(tag))


def answer_version(req: Request, resp: Response, document: Representation) -> None:
    """Answer a document with its tag, or with 304 and no body where the client has this version already."""
    etag = set_etag(resp, document)
    if req.method in {"GET", "HEAD"} and is_known(req, etag):
        resp.status = 304
        return
    resp.data = document.json.encode()


def set_etag(resp: Response, document: Representation) -> str:
    """Put a document's tag into the answer's headers, and answer the tag."""
    etag = f'"{document.version}"'
    resp.set_header("ETag", etag)
    return etag


def is_known(req: Request, etag: str) -> bool:
    """Whether the client says that it has this version (`If-None-Match`)."""
    return any(known == "*" or f'"{known}"' == etag for known in req.if_none_match or ())


def _is_strong(tag: str) -> bool:
    return isinstance(tag, ETag) and not tag.is_weak
