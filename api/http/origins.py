"""Checks the `Origin` header, which names the website whose page made the browser send a request."""

from collections.abc import Collection

from falcon.asgi import Request


def is_allowed_origin(req: Request, allowed_origins: Collection[str]) -> bool:
    """Return whether the request may come from a page of its origin.

    Our own origin is always allowed. So are requests without the header, because they do not come from a page of
    another site: browsers send it with every cross-origin POST and with every WebSocket handshake.
    """
    origin = (req.get_header("Origin") or "").lower()
    is_own = origin.partition("://")[2] == req.netloc.lower()
    return not origin or is_own or origin in allowed_origins
