"""Turns the result of an operation into its response.

The headers `ETag`, `Location`, `Link` and `X-Total-Count` are set if the operation's declaration lists them.
"""

from collections.abc import Collection
from typing import Any, Final
from urllib.parse import urlencode

import orjson
from falcon import uri
from falcon.asgi import Request, Response

from api.http.call import Call
from api.http.fields import PageQuery
from api.http.preconditions import is_known, set_etag
from core.representations import CursorPage, Listing, Page, Representation

# The parameters of a request that say which page of a list it wants.
_BY_CURSOR: Final = frozenset({"cursor"})
_BY_POSITION: Final = frozenset({"skip", "limit"})


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
        _set_links(call.request, resp, query, page)
    resp.data = (page.items if as_array else _envelope(page, query)).encode()


def _envelope(page: Page, query: PageQuery) -> str:
    total = "null" if page.total is None else page.total
    envelope = f'"items":{page.items},"total":{total},"skip":{query.skip},"limit":{query.limit}'
    if isinstance(page, CursorPage):
        cursor = "null" if page.next_cursor is None else f'"{page.next_cursor}"'
        envelope += f',"next_cursor":{cursor}'
    return f"{{{envelope}}}"


def _set_links(req: Request, resp: Response, query: PageQuery, page: Page) -> None:
    """Set links to the neighbouring pages (RFC 8288). They repeat the caller's filters."""
    if "cursor" in req.params:
        replaced, places = _BY_CURSOR, _places_by_cursor(page)
    else:
        replaced, places = _BY_POSITION, _places_by_position(query, page)
    filters = {name: value for name, value in req.params.items() if name not in replaced}
    start = f"{uri.encode(req.path)}?" + (f"{urlencode(filters)}&" if filters else "")
    if places:
        resp.set_header("Link", ", ".join(f"<{start}{place}>; rel={relation}" for relation, place in places.items()))


def _places_by_cursor(page: Page) -> dict[str, str]:
    """Return the parameters of the next page, if there is one."""
    if isinstance(page, CursorPage) and page.next_cursor is not None:
        return {"next": urlencode({"cursor": page.next_cursor})}
    return {}


def _places_by_position(query: PageQuery, page: Page) -> dict[str, str]:
    """Return the parameters of the first page and of those before and after this one, by their relations."""
    skips = {"first": 0}
    if query.skip > 0:
        skips["prev"] = max(query.skip - query.limit, 0)
    if _is_followed(page, query):
        skips["next"] = query.skip + query.limit
    return {relation: f"skip={skip}&limit={query.limit}" for relation, skip in skips.items()}


def _is_followed(page: Page, query: PageQuery) -> bool:
    """Whether a page that was read by its position is not the last one."""
    if isinstance(page, CursorPage):
        return page.next_cursor is not None
    return page.total is not None and query.skip + query.limit < page.total
