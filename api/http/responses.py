"""Turns the result of an operation into its response.

The headers `ETag`, `Location`, `Link` and `X-Total-Count` are set if the operation's declaration lists them.
"""

from collections.abc import Collection
from typing import Any
from urllib.parse import urlencode

import orjson
from falcon.asgi import Request, Response

from api.http.call import Call
from api.http.fields import PageQuery
from api.http.preconditions import is_known, set_etag
from core.representations import CursorPage, Listing, Page, Representation


def write_result(call: Call, result: Any, headers: Collection[str], *, as_array: bool) -> None:
    """Write the result of a responder to its response.

    Args:
        call: The request and its response.
        result: A `Representation`, `Listing` or `Page`, or plain data that orjson can serialize.
        headers: The headers that the operation declares.
        as_array: Whether a page is written as a bare array, without its envelope.

    Raises:
        TypeError: if the result is a page, but the operation's query is not a `PageQuery`.
    """
    match result:
        case Representation():
            _write_representation(call, result, headers)
        case Page():
            _write_page(call, result, headers, as_array=as_array)
        case Listing():
            call.response.data = result.items.encode()
        case _:
            call.response.data = orjson.dumps(result)


def _write_representation(call: Call, representation: Representation, headers: Collection[str]) -> None:
    req, resp = call.request, call.response
    if "Location" in headers:
        resp.location = f"{req.path}/{representation.id}"
    if "ETag" in headers:
        etag = set_etag(resp, representation)
        if req.method in {"GET", "HEAD"} and is_known(req, etag):
            resp.status = 304
            return
    resp.data = representation.json.encode()


def _write_page(call: Call, page: Page, headers: Collection[str], *, as_array: bool) -> None:
    resp = call.response
    query = call.query
    if not isinstance(query, PageQuery):
        raise TypeError("An operation that returns a page needs a query that is a PageQuery.")
    if "X-Total-Count" in headers and page.total is not None:
        resp.set_header("X-Total-Count", str(page.total))
    if "Link" in headers:
        _append_links(call.request, resp, query, page)
    resp.data = (page.items if as_array else _envelope(page, query)).encode()


def _envelope(page: Page, query: PageQuery) -> str:
    total = "null" if page.total is None else page.total
    envelope = f'"items":{page.items},"total":{total},"skip":{query.skip},"limit":{query.limit}'
    if isinstance(page, CursorPage):
        cursor = "null" if page.next_cursor is None else f'"{page.next_cursor}"'
        envelope += f',"next_cursor":{cursor}'
    return f"{{{envelope}}}"


def _append_links(req: Request, resp: Response, query: PageQuery, page: Page) -> None:
    """Add links to the neighbouring pages (RFC 8288). They repeat the caller's filters."""
    if "cursor" in req.params:
        if isinstance(page, CursorPage) and page.next_cursor is not None:
            _append_link(req, resp, "next", {"cursor"}, urlencode({"cursor": page.next_cursor}))
        return
    pages = {"first": 0}
    if query.skip > 0:
        pages["prev"] = max(query.skip - query.limit, 0)
    if _is_followed(page, query):
        pages["next"] = query.skip + query.limit
    for relation, skip in pages.items():
        _append_link(req, resp, relation, {"skip", "limit"}, f"skip={skip}&limit={query.limit}")


def _is_followed(page: Page, query: PageQuery) -> bool:
    """Whether a page that was read by its position is not the last one."""
    if isinstance(page, CursorPage):
        return page.next_cursor is not None
    return page.total is not None and query.skip + query.limit < page.total


def _append_link(req: Request, resp: Response, relation: str, replaced: Collection[str], place: str) -> None:
    """Add a link to a page: `place` stands for the parameters that it replaces. Most requests have no others."""
    kept = {name: value for name, value in req.params.items() if name not in replaced}
    resp.append_link(f"{req.path}?{urlencode(kept)}&{place}" if kept else f"{req.path}?{place}", relation)
