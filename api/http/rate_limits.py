"""How often one may call: counted for each user, or for each address where there is no user.

falcon-limiter brings the storage in Redis. The middleware is ours, since every route is to be limited, every answer is
to tell what is left, and a Redis that is gone must not take the API with it: then each process counts for itself.

Windows are fixed and begin with the clock (each full minute, say), so one round trip counts a request and everything
else is known without asking. The price is that around the turn of a window somebody may call twice as often.
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
# After a failure Redis is left alone for so long: a frozen one would otherwise hold up every single request.
_PAUSE_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Count:
    """Where a caller stands: how many requests a window holds, how many are left, and the seconds until the next."""

    limit: int
    remaining: int
    reset: int
    exceeded: bool


class LocalCounter:
    """Counts in this process alone, and forgets a window when the next one of the same length begins.

    The storage that comes with the library looks through all its keys at every count, so that a crowd of callers would
    slow everybody down just when Redis is gone.
    """

    def __init__(self) -> None:
        self._windows: dict[int, tuple[int, Counter[str]]] = {}

    def increment(self, key: str, window: int, seconds: int) -> int:
        """Count once more under this key, in this window of so many seconds, and tell how often that makes."""
        latest, counts = self._windows.get(seconds, (window, Counter[str]()))
        if latest != window:
            counts = Counter()
        self._windows[seconds] = (window, counts)
        counts[key] += 1
        return counts[key]


class SharedCounter:
    """Counts in Redis for all processes together, and in this process alone while Redis does not answer."""

    def __init__(self, redis_url: str) -> None:
        options = {"implementation": "redispy", "socket_timeout": _REDIS_SECONDS, "key_prefix": _KEY_PREFIX}
        config = {"RATELIMIT_STORAGE_URL": f"async+{redis_url}", "RATELIMIT_STORAGE_OPTIONS": options}
        self._redis = AsyncLimiter(config=config).storage
        self._alone = LocalCounter()
        self._shared = True
        self._pause_until = 0.0

    async def count(self, item: RateLimitItem, *identifiers: str) -> Count:
        """Count one more request and tell where that leaves the caller."""
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
                self._note(shared=False, reason=type(error).__name__)
            else:
                self._note(shared=True)
                return used
        return self._alone.increment(key, window, seconds)

    def _note(self, *, shared: bool, **details: str) -> None:
        if shared == self._shared:
            return
        self._shared = shared
        if shared:
            log.info("rate_limit_shared_again")
        else:
            log.warning("rate_limit_counts_alone", **details)


class RateLimits:
    """The middleware that counts every request and refuses those over the limit.

    What a request counts against is a fact of its operation's declaration; what leads nowhere counts as well.
    """

    def __init__(self, settings: Settings, router: Router) -> None:
        self._router = router
        self._counter = SharedCounter(settings.redis_url.get_secret_value())
        self._general = parse(settings.rate_limit)
        self._credentials = parse(settings.rate_limit_credentials)
        self._health = parse(settings.rate_limit_health)

    async def process_request(self, req: Request, resp: Response) -> None:
        """Count a request; its response says how many are left, whatever else it is."""
        count = await self._count(req)
        resp.set_header("RateLimit-Limit", str(count.limit))
        resp.set_header("RateLimit-Remaining", str(count.remaining))
        resp.set_header("RateLimit-Reset", str(count.reset))
        _refuse_if_exceeded(count)

    async def process_request_ws(self, req: Request, _ws: WebSocket) -> None:
        """Count a handshake."""
        _refuse_if_exceeded(await self._count(req))

    async def close(self) -> None:
        """Release the connections to Redis."""
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
