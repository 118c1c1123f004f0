"""Whole HTTP responses for requests that are refused before the application sees them."""

from http import HTTPStatus

import orjson

from api.http.errors import PROBLEM, problem
from api.http.security_headers import POLICY_FOR_DATA, SECURITY_HEADERS


def refusal(
    status: int, code: str, detail: str, request_id: str, *, closes: bool = True, retry_after: int | None = None
) -> bytes:
    """Return a response with a problem document. `closes` tells the client that the connection ends after it.

    The text stays in English, because the header with the client's language may not have arrived.
    """
    body = orjson.dumps(problem(status, code, detail, request_id))
    headers = {
        "content-type": PROBLEM,
        "content-length": str(len(body)),
        "cache-control": "no-store",
        **SECURITY_HEADERS,
        "content-security-policy": POLICY_FOR_DATA,
        "x-request-id": request_id,
    }
    if retry_after is not None:
        headers["retry-after"] = str(retry_after)
    if closes:
        headers["connection"] = "close"
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{lines}\r\n".encode("ascii") + body
