"""Range requests: clients may ask for a part of a file (RFC 9110, section 14)."""

import re
from typing import Final

from falcon import HTTPRangeNotSatisfiable
from falcon.asgi import Request

_ONE_RANGE: Final = re.compile(r"bytes=\s*(\d{0,19})-(\d{0,19})\s*", re.ASCII | re.IGNORECASE)


def requested_range(req: Request, size: int, etag: str) -> tuple[int, int] | None:
    """Return the first byte of the requested part and the byte after its last one, or None for the whole content.

    An invalid range, several ranges, and a range of another version of the content (`If-Range`) are ignored, as the
    RFC allows, so that the response has the whole content.

    Raises:
        HTTPRangeNotSatisfiable: if the content has none of the requested bytes.
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
