"""Middleware for every request: request id, client address, log line, default headers and CORS."""

import re
import secrets
import time
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from itertools import count
from typing import Any, Final

import structlog
from falcon.asgi import Request, Response, WebSocket

from api.http.operation import Operation, RateLimit
from api.http.security_headers import POLICY_FOR_DATA
from core import metrics, tracing
from core.activity import ACTIVITY
from core.config import Settings
from core.log_context import begin_log_context

log = structlog.get_logger()

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
_EXPOSED_HEADERS: Final = ", ".join(
    [
        "Accept-Ranges",
        "Content-Disposition",
        "Content-Range",
        "ETag",
        "Link",
        "Location",
        "Retry-After",
        "Content-Language",
        "Idempotency-Replayed",
        "X-Request-ID",
        "X-Total-Count",
        "RateLimit-Limit",
        "RateLimit-Remaining",
        "RateLimit-Reset",
    ]
)
_ALLOWED_HEADERS: Final = (
    "Authorization, Content-Type, X-Request-ID, traceparent, If-Match, If-None-Match, If-Range, Range, Idempotency-Key"
)
_ALLOWED_METHODS: Final = "GET, POST, PUT, PATCH, DELETE, OPTIONS"
_METHODS: Final = frozenset({*_ALLOWED_METHODS.split(", "), "HEAD"})
_PREFLIGHT_SECONDS: Final = "600"
# A peer on a Unix socket has no address, so the server leaves it out.
_NO_PEER: Final = ("127.0.0.1", 0)
_DEFAULT_HEADERS: Final = [("Cache-Control", "no-store"), ("Content-Security-Policy", POLICY_FOR_DATA)]
_CLIENT_ERROR: Final = 400
_SERVER_ERROR: Final = 500

Network = IPv4Network | IPv6Network


class RequestContext:
    """Sets the id and the client address of each request, and logs one line when the request ends."""

    def __init__(self, settings: Settings) -> None:
        # A request id is no secret, it only has to be unique among all processes. Random bytes for each request would
        # take a system call, which costs more than all other work for the id. Each process makes its own instance,
        # also if it is the fork of a process that has imported this module, so each begins with another number.
        self._numbers = count(secrets.randbits(127))
        self._logs_probes = settings.log_level == "DEBUG"
        self._trusted = tuple(ip_network(proxy, strict=False) for proxy in settings.trusted_proxies)

    async def process_request(self, req: Request, resp: Response) -> None:
        """Set the context of a request, and the headers that each response has unless its operation sets them."""
        self._begin(req)
        req.context.span = tracing.begin_request(req.context.request_id, req.get_header("traceparent"))
        resp.set_headers([("X-Request-ID", req.context.request_id), *_DEFAULT_HEADERS])

    async def process_request_ws(self, req: Request, _ws: WebSocket) -> None:
        """Set the context of a WebSocket handshake."""
        self._begin(req)

    async def process_response(self, req: Request, resp: Response, _resource: Any, _succeeded: bool) -> None:
        """Count and log the request."""
        seconds = time.perf_counter() - req.context.started
        # The path of an unknown route is arbitrary text from the client and may hold secrets.
        route = req.uri_template or "unknown"
        method = req.method if req.method in _METHODS else "other"
        metrics.REQUEST_SECONDS.observe(seconds, method, route, resp.status_code)
        tracing.end_request(req.context.span, method, route, resp.status_code)
        is_probe = _is_probe(req)
        if is_probe and not self._logs_probes:
            return
        ACTIVITY.observe(
            "request",
            f"{method} {route}",
            seconds,
            refused=_CLIENT_ERROR <= resp.status_code < _SERVER_ERROR,
            failed=resp.status_code >= _SERVER_ERROR,
        )
        write = log.debug if is_probe else log.info
        write(
            "request",
            method=req.method,
            route=route,
            status=resp.status_code,
            duration_ms=round(seconds * 1000, 1),
            # A login has no caller yet, so it leaves the account that it is about in the context of its response.
            user_id=getattr(req.context, "user_id", None) or getattr(resp.context, "user_id", None),
            address=req.context.client_address,
        )

    def _begin(self, req: Request) -> None:
        context: Any = req.context
        context.started = time.perf_counter()
        context.request_id = self._request_id(req)
        context.client_address = self._client_address(req)
        begin_log_context(
            request_id=context.request_id, address=context.client_address, **tracing.log_fields(context.request_id)
        )

    def _client_address(self, req: Request) -> str:
        # Falcon's `remote_addr` would first read the headers of proxies.
        peer: str = (req.scope.get("client") or _NO_PEER)[0]
        if not self._trusted:
            return peer
        return client_address(peer, req.get_header("X-Forwarded-For") or "", self._trusted)

    def _request_id(self, req: Request) -> str:
        offered = req.get_header("X-Request-ID")
        if offered is not None and _REQUEST_ID.fullmatch(offered):
            return offered
        return tracing.offered_trace(req.get_header("traceparent")) or f"{next(self._numbers):032x}"


def _is_probe(req: Request) -> bool:
    """Return whether a request asks for the health of the process, which probes do every few seconds."""
    operation: Operation | None = getattr(req.context, "operation", None)
    return operation is not None and operation.rate_limit is RateLimit.HEALTH


def client_address(peer: str, forwarded_for: str, trusted: tuple[Network, ...]) -> str:
    """Return the address of the client that sent a request.

    Each proxy appends the address of its own client to `X-Forwarded-For`. Read from the right, the first address that
    is not one of our own proxies belongs to the client. Addresses further left may be forged by the client.
    """
    address = peer
    for hop in reversed(forwarded_for.split(",")):
        if not _is_within(address, trusted):
            break
        candidate = hop.strip()
        if not _is_address(candidate):
            break
        address = candidate
    return address


def _is_within(address: str, networks: tuple[Network, ...]) -> bool:
    return _is_address(address) and any(ip_address(address) in network for network in networks)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


class CrossOrigin:
    """Allows cross-origin requests (CORS) from the listed origins only."""

    def __init__(self, allowed_origins: tuple[str, ...]) -> None:
        self._allowed = frozenset(allowed_origins)

    async def process_request(self, req: Request, resp: Response) -> None:
        """Set the CORS headers. A preflight request is completed here; the browser sends the real request after it."""
        origin = req.get_header("Origin")
        if not self._allowed:
            return
        resp.append_header("Vary", "Origin")
        if origin not in self._allowed:
            return
        resp.set_header("Access-Control-Allow-Origin", origin)
        resp.set_header("Access-Control-Allow-Credentials", "true")
        resp.set_header("Access-Control-Expose-Headers", _EXPOSED_HEADERS)
        if req.method == "OPTIONS" and req.get_header("Access-Control-Request-Method"):
            resp.set_header("Access-Control-Allow-Methods", _ALLOWED_METHODS)
            resp.set_header("Access-Control-Allow-Headers", _ALLOWED_HEADERS)
            resp.set_header("Access-Control-Max-Age", _PREFLIGHT_SECONDS)
            resp.status = 204
            resp.complete = True
