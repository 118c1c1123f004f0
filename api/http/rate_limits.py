"""Rate limits: counts the requests of each user, or of each address if the caller is not authenticated.

A request counts for a user only if the session of its token has not ended. Otherwise whoever has a token that was
revoked could use up the allowance of its owner.

A request may count in several buckets: that of a personal access token lies under that of its owner, and holds half as
much. So a single program cannot use up all that its owner has. A request is counted only if it fits in all its buckets.

The middleware is our own, because every route is limited, every response reports the remaining requests, and the API
stays available without Redis (see `api.http.request_counters`).
"""

from functools import lru_cache

from falcon.asgi import Request, Response, WebSocket
from limits import RateLimitItem, parse

from api.http.auth import find_actor
from api.http.operation import RateLimit
from api.http.request_counters import Bucket, Count, SharedCounter
from api.http.routing import Router
from core import metrics
from core.activity import ACTIVITY, RATE_LIMITED
from core.addresses import counted_address
from core.config import Settings
from core.errors import TooManyRequests
from core.messages import msg

# The bucket of a caller is made once, as long as the caller is among this many.
_bucket = lru_cache(maxsize=50_000)(Bucket.of)


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
        self._of_addresses = {
            RateLimit.CREDENTIALS: parse(settings.rate_limit_credentials),
            RateLimit.HEALTH: parse(settings.rate_limit_health),
            RateLimit.FILES: parse(settings.rate_limit_files),
        }
        for limit in RateLimit:
            metrics.RATE_LIMIT_REFUSALS.begin(limit.value)

    async def process_request(self, req: Request, resp: Response) -> None:
        """Count a request, and set the headers with the remaining requests for every response, also for errors."""
        count = await self._count(req)
        resp.set_headers(
            [
                ("RateLimit-Limit", str(count.limit)),
                ("RateLimit-Remaining", str(count.remaining)),
                ("RateLimit-Reset", str(count.reset)),
            ]
        )
        if count.exceeded:
            # Falcon would set it later. The log and the figures of the operator say which routes are refused.
            req.uri_template = self._router.template(req)
        _refuse_if_exceeded(count, req)

    async def process_request_ws(self, req: Request, _ws: WebSocket) -> None:
        """Count a WebSocket handshake."""
        _refuse_if_exceeded(await self._count(req), req)

    async def close(self) -> None:
        """Close the connections to Redis."""
        await self._counter.close()

    async def _count(self, req: Request) -> Count:
        req.context.operation = operation = self._router.operation(req)
        if operation is None:
            return await self._counter.count(await self._buckets(req, self._router.unlisted_limit(req)), weight=1)
        buckets = await self._buckets(req, operation.rate_limit)
        if operation.rate_limit is RateLimit.HEALTH:
            # How a process is must not depend on how fast Redis responds.
            return self._counter.count_in_this_process(buckets, operation.weight)
        return await self._counter.count(buckets, operation.weight)

    async def _buckets(self, req: Request, limit: RateLimit) -> tuple[Bucket, ...]:
        """Return the buckets that a request counts in."""
        address = counted_address(req.context.client_address)
        item = self._of_addresses.get(limit)
        if item is not None:
            return (_bucket(item, limit.value, address),)
        actor = await find_actor(req)
        if actor is None:
            return (_bucket(self._general, "address", address),)
        if limit is RateLimit.ENDING_SESSIONS:
            return (_bucket(self._general, "ending sessions", str(actor.session_id)),)
        owner = _bucket(self._general, "user", str(actor.user_id))
        if actor.scopes is None:
            return (owner,)
        return (_bucket(self._personal_token, "token", str(actor.session_id)), owner)


def _half(item: RateLimitItem) -> RateLimitItem:
    """Return a limit of half the amount, in windows of the same length."""
    return type(item)(max(item.amount // 2, 1), item.multiples)


def _refuse_if_exceeded(count: Count, req: Request) -> None:
    if count.exceeded:
        limit = RateLimit.GENERAL if req.context.operation is None else req.context.operation.rate_limit
        metrics.RATE_LIMIT_REFUSALS.add(1, limit.value)
        ACTIVITY.count(RATE_LIMITED)
        raise TooManyRequests(
            msg(
                "You may make {limit} requests in this span; come back in {seconds} s.",
                limit=count.limit,
                seconds=count.reset,
            ),
            count.reset,
        )
