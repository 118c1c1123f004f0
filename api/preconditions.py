"""Conditional requests (RFC 9110): the version of a task as its entity tag."""

import re
from typing import Final

from falcon import ETag
from falcon.asgi import Request, Response

from core.documents import Document

_VERSION: Final = re.compile(r"[0-9]{1,10}")


def expected_versions(req: Request) -> frozenset[int] | None:
    """The versions that `If-Match` names, any of which will do; None where any version will."""
    tags = req.if_match
    if tags is None or "*" in tags:
        return None
    return frozenset(int(tag) for tag in tags if _is_strong(tag) and _VERSION.fullmatch(tag))


def answer_version(req: Request, resp: Response, document: Document) -> None:
    """Answer a document with its tag, or with 304 and no body where the client has this version already."""
    resp.set_header("ETag", f'"{document.version}"')
    tags = req.if_none_match
    if req.method in {"GET", "HEAD"} and tags is not None and ("*" in tags or str(document.version) in tags):
        resp.status = 304
        return
    resp.data = document.json.encode()


def _is_strong(tag: str) -> bool:
    return isinstance(tag, ETag) and not tag.is_weak
