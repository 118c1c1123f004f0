"""Rate limits: counts the requests of each user, or of each address if the caller is not authenticated.

falcon-limiter provides the storage in Redis. The middleware is our own, because every route is limited, every response
reports the remaining requests, and the API stays available without Redis: then each process counts for itself.

Windows are fixed and aligned to the clock, for example to full minutes, so that counting needs only one round trip to
Redis. The disadvantage is that a caller may send twice the allowed number of requests around the start of a window.
"""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

import structlog
from falcon.asgi import Request, Response, WebSocket
from falcon_limiter import AsyncLimiter
from limits import RateLimitItem, parse
from redis.exceptions import RedisError

from api.http.operation import RateLimit
from api.http.routing import Router
from core.config import Settings
from core.errors import TooManyRequests
from core.messages import msg

log = structlog.get_logger()

_KEY_PREFIX: Final = "allweather:limit"
_REDIS_SECONDS: Final = 0.25
# After a failure, Redis is not used for this time. Otherwise each request would wait for a Redis that does not respond.
_PAUSE_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Count:
    """The state of a caller's limit: requests per window, requests left, and seconds until the next window."""

    limit: int
    remaining: int
    reset: int
    exceeded: bool


class LocalCounter:
    """Counts in this process only. The counts of a window are dropped when the next one of the same length begins.

    The library's own in-memory storage searches all its keys at every count. With many callers, this would slow down
    every request while Redis is unavailable.
    """

    def __init__(self) -> None:
        self._windows: dict[int, tuple[int, Counter[str]]] = {}

    def increment(self, key: str, window: int, seconds: int) -> int:
        """Add one to the count of this key in this window, and return the new count. Windows last `seconds`."""
        latest, counts = self._windows.get(seconds, (window, Counter[str]()))
        if latest != window:
            counts = Counter()
        self._windows[seconds] = (window, counts)
        counts[key] += 1
        return counts[key]


class SharedCounter:
    """Counts in Redis for all processes together, and in this process only while Redis is unavailable."""

    def __init__(self, redis_url: str) -> None:
        options = {"implementation": "redispy", "socket_timeout": _REDIS_SECONDS, "key_prefix": _KEY_PREFIX}
        config = {"RATELIMIT_STORAGE_URL": f"async+{redis_url}", "RATELIMIT_STORAGE_OPTIONS": options}
        self._redis = AsyncLimiter(config=config).storage
        self._local = LocalCounter()
        self._is_shared = True
        self._pause_until = 0.0

    async def count(self, item: RateLimitItem, *identifiers: str) -> Count:
        """Count one request and return the state of the caller's limit."""
        seconds = item.get_expiry()
        window, elapsed = divmod(time.time(), seconds)
        used = await self._increment(item.key_for(*identifiers), int(window), seconds)
        return Count(item.amount, max(item.amount - used, 0), max(int(seconds - elapsed), 1), used > item.amount)

    async def close(self) -> None:
        """Close the connections to Redis."""
        await self._redis.bridge.get_connection().aclose()

    async def _increment(self, key: str, window: int, seconds: int) -> int:
        if time.monotonic() >= self._pause_until:
            try:
                async with asyncio.timeout(_REDIS_SECONDS):
                    used: int = await self._redis.incr(f"{key}/{window}", seconds)
            except (RedisError, OSError, TimeoutError) as error:
                self._pause_until = time.monotonic() + _PAUSE_SECONDS
                self._log_change(shared=False, reason=type(error).__name__)
            else:
                self._log_change(shared=True)
                return used
        return self._local.increment(key, window, seconds)

    def _log_change(self, *, shared: bool, **details: str) -> None:
        if shared == self._is_shared:
            return
        self._is_shared = shared
        if shared:
            log.info("rate_limit_shared_again")
        else:
            log.warning("rate_limit_counts_alone", **details)


class RateLimits:
    """The middleware that counts every request and refuses those over the limit.

    The operation's declaration says which limit a request counts against. A request for an unknown path counts against
    the general limit.
    """

    def __init__(self, settings: Settings, router: Router) -> None:
        self._router = router
        self._counter = SharedCounter(settings.redis_url.get_secret_value())
        self._general = parse(settings.rate_limit)
        self._credentials = parse(settings.rate_limit_credentials)
        self._health = parse(settings.rate_limit_health)

    async def process_request(self, req: Request, resp: Response) -> None:
        """Count a request, and set the headers with the remaining requests for every response, also for errors."""
        count = await self._count(req)
        resp.set_header("RateLimit-Limit", str(count.limit))
        resp.set_header("RateLimit-Remaining", str(count.remaining))
        resp.set_header("RateLimit-Reset", str(count.reset))
        _refuse_if_exceeded(count)

    async def process_request_ws(self, req: Request, _ws: WebSocket) -> None:
        """Count a WebSocket handshake."""
        _refuse_if_exceeded(await self._count(req))

    async def close(self) -> None:
        """Close the connections to Redis."""
        await self._counter.close()

    async def _count(self, req: Request) -> Count:
        context: Any = req.context
        operation = self._router.operation(req)
        limit = RateLimit.GENERAL if operation is None else operation.rate_limit
        if limit is RateLimit.HEALTH:
            return await self._counter.count(self._health, "health", context.client_address)
        if limit is RateLimit.CREDENTIALS:
            return await self._counter.count(self._credentials, "credentials", context.client_address)
        if context.user_id is not None:
            return await self._counter.count(self._general, "user", str(context.user_id))
        return await self._counter.count(self._general, "address", context.client_address)


def _refuse_if_exceeded(count: Count) -> None:
    if count.exceeded:
        raise TooManyRequests(
            msg(
                "You may make {limit} requests in this span; come back in {seconds} s.",
                limit=count.limit,
                seconds=count.reset,
            ),
            count.reset,
        )
