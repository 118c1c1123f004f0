"""Parts of a representation (RFC 9110, 14)."""

import re
from typing import Final

from falcon import HTTPRangeNotSatisfiable
from falcon.asgi import Request

_ONE_RANGE: Final = re.compile(r"bytes=\s*(\d{0,19})-(\d{0,19})\s*", re.ASCII | re.IGNORECASE)


def requested_range(req: Request, size: int, etag: str) -> tuple[int, int] | None:
    """The bytes that are asked for, the end not included, or None for all of them.

    What is no range, several of them, and a range of another version of the content mean all, as the RFC allows.

    Raises:
        HTTPRangeNotSatisfiable: where there are no such bytes.
    """
    found = _ONE_RANGE.fullmatch(req.get_header("Range") or "")
    if req.method != "GET" or found is None or req.get_header("If-Range", default=etag) != etag:
        return None
    first, last = found.groups()
    if not first and not last:
        return None
    if first and last and int(last) < int(first):
        return None
    start = int(first) if first else max(size - int(last), 0)
    end = min(int(last) + 1, size) if first and last else size
    if start >= end:
        raise HTTPRangeNotSatisfiable(size)
    return start, end
