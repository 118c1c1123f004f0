"""Rate limits: counts the requests of each user, or of each address if the caller is not authenticated.

A request counts for a user only if the session of its token has not ended. Otherwise whoever has a token that was
revoked could use up the allowance of its owner.

A request may count in several buckets: that of a personal access token lies under that of its owner, and holds half as
much. So a single program cannot use up all that its owner has. A request is counted only if it fits in all its buckets.

falcon-limiter provides the storage in Redis. The middleware is our own, because every route is limited, every response
reports the remaining requests, and the API stays available without Redis: then each process counts for itself.

Windows are fixed and aligned to the clock, for example to full minutes, so that counting needs only one round trip to
Redis. The disadvantage is that a caller may send twice the allowed number of requests around the start of a window.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from falcon.asgi import Request, Response, WebSocket
from falcon_limiter import AsyncLimiter
from limits import RateLimitItem, parse
from redis.exceptions import RedisError

from api.http.auth import find_actor
from api.http.operation import RateLimit
from api.http.routing import Router
from core.addresses import counted_address
from core.config import Settings
from core.errors import TooManyRequests
from core.messages import msg

log = structlog.get_logger()

_KEY_PREFIX: Final = "allweather:limit"
_REDIS_SECONDS: Final = 0.25
# The arguments are the request's weight, the seconds of a window, and the amount of each bucket. The result is whether
# the request fits in all buckets, followed by the count of each. It is one script, because it has to be one round trip,
# and because a refused request may not be counted in any bucket.
_COUNT: Final = """
local used, fits = {}, 1
for i, key in ipairs(KEYS) do
    used[i] = tonumber(redis.call('GET', key) or '0')
    if used[i] + tonumber(ARGV[1]) > tonumber(ARGV[i + 2]) then fits = 0 end
end
if fits == 1 then
    for i, key in ipairs(KEYS) do
        used[i] = redis.call('INCRBY', key, ARGV[1])
        if used[i] == tonumber(ARGV[1]) then redis.call('EXPIRE', key, ARGV[2]) end
    end
end
return {fits, unpack(used)}
"""
# After a failure, Redis is not used for this time. Otherwise each request would wait for a Redis that does not respond.
_PAUSE_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Bucket:
    """Whose requests are counted together, and how many of them are allowed in each window."""

    item: RateLimitItem
    identifiers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Count:
    """The state of a caller's limit: requests per window, requests left, and seconds until the next window.

    If a request counts in several buckets, these are the figures of the bucket that has the fewest requests left.
    """

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

    def count(self, amounts: dict[str, int], weight: int, window: int, seconds: int) -> tuple[bool, list[int]]:
        """Count a request under all these keys, if none of them would exceed its amount in this window.

        Returns whether it was counted, and the count of each key. Windows last `seconds`.
        """
        latest, counts = self._windows.get(seconds, (window, Counter[str]()))
        if latest != window:
            counts = Counter()
        self._windows[seconds] = (window, counts)
        fits = all(counts[key] + weight <= amount for key, amount in amounts.items())
        if fits:
            counts.update(dict.fromkeys(amounts, weight))
        return fits, [counts[key] for key in amounts]


class SharedCounter:
    """Counts in Redis for all processes together, and in this process only while Redis is unavailable."""

    def __init__(self, redis_url: str) -> None:
        options = {"implementation": "redispy", "socket_timeout": _REDIS_SECONDS, "key_prefix": _KEY_PREFIX}
        config = {"RATELIMIT_STORAGE_URL": f"async+{redis_url}", "RATELIMIT_STORAGE_OPTIONS": options}
        self._redis = AsyncLimiter(config=config).storage.bridge
        self._count_in_redis = self._redis.get_connection().register_script(_COUNT)
        self._local = LocalCounter()
        self._is_shared = True
        self._pause_until = 0.0

    async def count(self, buckets: Sequence[Bucket], weight: int) -> Count:
        """Count a request in these buckets, whose windows are equally long, and return the state of the limit.

        It counts as `weight` requests, or as many as the smallest bucket holds: a small limit refuses no operation for
        ever.
        """
        seconds = buckets[0].item.get_expiry()
        window, elapsed = divmod(time.time(), seconds)
        amounts = {bucket.item.key_for(*bucket.identifiers): bucket.item.amount for bucket in buckets}
        weight = min(weight, *amounts.values())
        fits, used = await self._count(amounts, weight, int(window), seconds)
        remaining, limit = min((amount - count, amount) for amount, count in zip(amounts.values(), used, strict=True))
        return Count(limit, max(remaining, 0), max(int(seconds - elapsed), 1), not fits)

    async def close(self) -> None:
        """Close the connections to Redis."""
        await self._redis.get_connection().aclose()

    async def _count(self, amounts: dict[str, int], weight: int, window: int, seconds: int) -> tuple[bool, list[int]]:
        if time.monotonic() >= self._pause_until:
            keys = [self._redis.prefixed_key(f"{key}/{window}") for key in amounts]
            try:
                async with asyncio.timeout(_REDIS_SECONDS):
                    fits, *used = await self._count_in_redis(keys, [weight, seconds, *amounts.values()])
            except (RedisError, OSError, TimeoutError) as error:
                self._pause_until = time.monotonic() + _PAUSE_SECONDS
                self._log_change(shared=False, reason=type(error).__name__)
            else:
                self._log_change(shared=True)
                return bool(fits), used
        return self._local.count(amounts, weight, window, seconds)

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
        self._personal_token = _half(self._general)
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
        req.context.operation = operation = self._router.operation(req)
        if operation is None:
            return await self._counter.count(await self._buckets(req, RateLimit.GENERAL), weight=1)
        return await self._counter.count(await self._buckets(req, operation.rate_limit), operation.weight)

    async def _buckets(self, req: Request, limit: RateLimit) -> list[Bucket]:
        """Return the buckets that a request counts in."""
        address = counted_address(req.context.client_address)
        if limit is RateLimit.HEALTH:
            return [Bucket(self._health, ("health", address))]
        if limit is RateLimit.CREDENTIALS:
            return [Bucket(self._credentials, ("credentials", address))]
        actor = await find_actor(req)
        if actor is None:
            return [Bucket(self._general, ("address", address))]
        if limit is RateLimit.ENDING_SESSIONS:
            return [Bucket(self._general, ("ending sessions", str(actor.session_id)))]
        owner = Bucket(self._general, ("user", str(actor.user_id)))
        if actor.scopes is None:
            return [owner]
        return [Bucket(self._personal_token, ("token", str(actor.session_id))), owner]


def _half(item: RateLimitItem) -> RateLimitItem:
    """Return a limit of half the amount, in windows of the same length."""
    return type(item)(max(item.amount // 2, 1), item.multiples)


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
