"""Whose page a browser is showing when it calls us."""

from collections.abc import Collection

from falcon.asgi import Request


def is_allowed_origin(req: Request, allowed_origins: Collection[str]) -> bool:
    """Tell whether a page of this origin may act for its user; what is no browser sends no origin."""
    origin = (req.get_header("Origin") or "").lower()
    is_own = origin.partition("://")[2] == req.netloc.lower()
    return not origin or is_own or origin in allowed_origins
