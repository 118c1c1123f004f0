"""Counts requests against rate limits: in Redis for all processes together, or in this process while Redis is down.

falcon-limiter provides the storage in Redis, and `limits` the rates and the names of the keys.

Windows are fixed and aligned to the clock, for example to full minutes, so that counting needs only one round trip to
Redis. The disadvantage is that a caller may send twice the allowed number of requests around the start of a window.

Requests that arrive while a round trip is under way are counted together in the next one. A busy process therefore
makes one round trip for many requests, and an idle process makes it at once. Every request gets the count that it would
have got alone, because the script counts the requests one after the other.
"""

import asyncio
import time
from collections.abc import Sequence
from hashlib import sha1
from itertools import chain
from typing import Any, Final, NamedTuple

import structlog
from falcon_limiter import AsyncLimiter
from limits import RateLimitItem
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import NoScriptError, RedisError, ResponseError

from core import redis_clients

log = structlog.get_logger()

_KEY_PREFIX: Final = "allweather:limit"
_REDIS_SECONDS: Final = 0.25
# ARGV has these numbers for each group of equal requests: how many buckets they count in, how many requests there are,
# the weight of one request, the seconds of a window, and then the amount of each bucket. KEYS has the buckets of all
# groups. The result has for each group how many of its requests fit in all its buckets, and then the count of each
# bucket. A request that does not fit is not counted in any bucket.
_COUNT: Final = """
local result, argument, first = {}, 1, 1
while argument <= #ARGV do
    local buckets, requests = tonumber(ARGV[argument]), tonumber(ARGV[argument + 1])
    local weight, seconds = tonumber(ARGV[argument + 2]), ARGV[argument + 3]
    local used, fitting = {}, requests
    for i = 1, buckets do
        used[i] = tonumber(redis.call('GET', KEYS[first + i - 1]) or '0')
        fitting = math.min(fitting, math.floor((tonumber(ARGV[argument + 3 + i]) - used[i]) / weight))
    end
    if fitting > 0 then
        for i = 1, buckets do
            local key = KEYS[first + i - 1]
            used[i] = redis.call('INCRBY', key, fitting * weight)
            if used[i] == fitting * weight then redis.call('EXPIRE', key, seconds) end
        end
    end
    result[#result + 1] = math.max(fitting, 0)
    for i = 1, buckets do result[#result + 1] = used[i] end
    argument, first = argument + 4 + buckets, first + buckets
end
return result
"""
# After a failure, Redis is not used for this time. Otherwise each request would wait for a Redis that does not respond.
_PAUSE_SECONDS: Final = 5.0


class Bucket(NamedTuple):
    """Whose requests are counted together, how many of them are allowed in a window, and the seconds of a window."""

    key: str
    amount: int
    seconds: int

    @classmethod
    def of(cls, item: RateLimitItem, *identifiers: str) -> "Bucket":
        """Return the bucket of a rate and of whom it is counted for."""
        return cls(item.key_for(*identifiers), item.amount, item.get_expiry())


class Count(NamedTuple):
    """The state of a caller's limit: requests per window, requests left, and seconds until the next window.

    If a request counts in several buckets, these are the figures of the bucket that has the fewest requests left.
    """

    limit: int
    remaining: int
    reset: int
    exceeded: bool


class Demand(NamedTuple):
    """What equal requests have in common: their buckets, the number of the window, and the weight of one request."""

    buckets: tuple[Bucket, ...]
    window: int
    weight: int


class Counted(NamedTuple):
    """How many of some equal requests were counted, and the count of each of their buckets after that."""

    fitting: int
    used: list[int]


_NO_WINDOW: Final[tuple[int, dict[str, int]]] = (-1, {})

_Waiting = dict[Demand, list[asyncio.Future[tuple[bool, list[int]]]]]


class LocalCounter:
    """Counts in this process only. The counts of a window are dropped when the next one of the same length begins.

    The library's own in-memory storage searches all its keys at every count. With many callers, this would slow down
    every request while Redis is unavailable.
    """

    def __init__(self) -> None:
        self._windows: dict[int, tuple[int, dict[str, int]]] = {}

    def count(self, demand: Demand, requests: int) -> Counted:
        """Count as many of these requests as fit in all their buckets."""
        buckets, window, weight = demand
        seconds = buckets[0].seconds
        latest, counts = self._windows.get(seconds, _NO_WINDOW)
        if latest != window:
            counts = {}
            self._windows[seconds] = (window, counts)
        used = [counts.get(bucket.key, 0) for bucket in buckets]
        room = min((bucket.amount - count) // weight for bucket, count in zip(buckets, used, strict=True))
        fitting = max(min(requests, room), 0)
        if fitting:
            used = [count + fitting * weight for count in used]
            counts.update((bucket.key, count) for bucket, count in zip(buckets, used, strict=True))
        return Counted(fitting, used)


class _Script:
    """Runs a script in Redis, one call at a time, on a connection of its own.

    The client of the library takes a connection from its pool for each command, and prepares retries and time-outs,
    which takes longer than the command. Here the caller limits the time.
    """

    def __init__(self, connection: AbstractConnection, text: str) -> None:
        self._connection = connection
        self._text = text
        self._digest = sha1(text.encode(), usedforsecurity=False).hexdigest()

    async def run(self, keys: Sequence[str], arguments: Sequence[int]) -> list[int]:
        """Return the result of the script. A connection that was lost since the last call is made again."""
        # Data that arrived between two calls can only be the end of the connection.
        if self._connection.is_connected and await self._connection.can_read():
            await self._connection.disconnect()
        try:
            return await self._send("EVALSHA", self._digest, len(keys), *keys, *arguments)
        except NoScriptError:
            # Redis has been started since, and keeps the text from now on.
            return await self._send("EVAL", self._text, len(keys), *keys, *arguments)

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.disconnect()

    async def _send(self, *command: str | int) -> list[int]:
        """Return the response to a command. If this fails or is cancelled, the connection is closed."""
        # Only `connect` asks the sentinels, if there are any, for the primary.
        if not self._connection.is_connected:
            await self._connection.connect()  # type: ignore[no-untyped-call]  # redis-py leaves it untyped.
        await self._connection.send_command(*command, check_health=False)
        try:
            result: list[int] = await self._connection.read_response()
        except NoScriptError:
            raise
        except ResponseError:
            # A primary that has become a replica refuses to write. The next call finds the new primary.
            await self._connection.disconnect()
            raise
        return result


class SharedCounter:
    """Counts in Redis for all processes together, or in this process: while Redis is unavailable, or if asked to."""

    def __init__(self, redis_url: str) -> None:
        # The client closes its pool when it is deleted, so it is kept here.
        self._client = redis_clients.connect_async(redis_url, socket_timeout=None)
        pool: Any = self._client.connection_pool
        options = {"implementation": "redispy", "connection_pool": pool, "key_prefix": _KEY_PREFIX}
        config = {"RATELIMIT_STORAGE_URL": "async+redis://", "RATELIMIT_STORAGE_OPTIONS": options}
        self._redis = AsyncLimiter(config=config).storage.bridge
        self._script = _Script(pool.make_connection(), _COUNT)
        self._local = LocalCounter()
        self._is_shared = True
        self._pause_until = 0.0
        self._waiting: _Waiting = {}
        self._counting: asyncio.Task[None] | None = None

    async def count(self, buckets: tuple[Bucket, ...], weight: int) -> Count:
        """Count a request in these buckets, whose windows are equally long, and return the state of the limit.

        It counts as `weight` requests, or as many as the smallest bucket holds: a small limit refuses no operation for
        ever.
        """
        now = time.time()
        demand = _demand(buckets, weight, now)
        counted = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(demand, []).append(counted)
        if self._counting is None:
            self._counting = asyncio.create_task(self._count_waiting(), name="rate-limits")
        fits, used = await counted
        return _state(demand, used, now, fits=fits)

    def count_in_this_process(self, buckets: tuple[Bucket, ...], weight: int) -> Count:
        """Count a request in the same way, but without waiting for Redis and without the other processes."""
        now = time.time()
        demand = _demand(buckets, weight, now)
        fitting, used = self._local.count(demand, 1)
        return _state(demand, used, now, fits=fitting == 1)

    async def close(self) -> None:
        """Close the connections to Redis."""
        await self._script.close()
        await self._client.aclose()

    async def _count_waiting(self) -> None:
        """Count all requests that wait, and those that arrive in the meantime."""
        batch: _Waiting = {}
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, {}
                for (demand, requests), counted in zip(batch.items(), await self._count(batch), strict=True):
                    _tell(requests, counted, demand.weight)
        finally:
            self._counting = None
            # If this was cancelled, nobody else counts the rest, which would wait without end.
            for request in chain(*batch.values(), *self._waiting.values()):
                request.cancel()
            self._waiting = {}

    async def _count(self, batch: _Waiting) -> list[Counted]:
        if time.monotonic() >= self._pause_until:
            keys, arguments = self._script_input(batch)
            try:
                async with asyncio.timeout(_REDIS_SECONDS):
                    result = await self._script.run(keys, arguments)
            except Exception as error:  # noqa: BLE001 - all requests of the batch wait, and none has caused the error.
                self._pause_until = time.monotonic() + _PAUSE_SECONDS
                is_expected = isinstance(error, (RedisError, OSError, TimeoutError))
                self._log_change(shared=False, reason=type(error).__name__, exc_info=not is_expected)
            else:
                self._log_change(shared=True)
                return _counted_by_script(batch, result)
        return [self._local.count(demand, len(requests)) for demand, requests in batch.items()]

    def _script_input(self, batch: _Waiting) -> tuple[list[str], list[int]]:
        """Return KEYS and ARGV of the script."""
        keys: list[str] = []
        arguments: list[int] = []
        for (buckets, window, weight), requests in batch.items():
            keys += [self._redis.prefixed_key(f"{bucket.key}/{window}") for bucket in buckets]
            arguments += [len(buckets), len(requests), weight, buckets[0].seconds]
            arguments += [bucket.amount for bucket in buckets]
        return keys, arguments

    def _log_change(self, *, shared: bool, **details: str | bool) -> None:
        if shared == self._is_shared:
            return
        self._is_shared = shared
        if shared:
            log.info("rate_limit_shared_again")
        else:
            log.warning("rate_limit_counts_alone", **details)


def _demand(buckets: tuple[Bucket, ...], weight: int, now: float) -> Demand:
    if weight > 1:
        weight = min(weight, *(bucket.amount for bucket in buckets))
    return Demand(buckets, int(now // buckets[0].seconds), weight)


def _state(demand: Demand, used: list[int], now: float, *, fits: bool) -> Count:
    """Return the state of a limit after a request was counted."""
    buckets = demand.buckets
    bucket, after = min(zip(buckets, used, strict=True), key=_room) if len(buckets) > 1 else (buckets[0], used[0])
    reset = max(int((demand.window + 1) * bucket.seconds - now), 1)
    return Count(bucket.amount, max(bucket.amount - after, 0), reset, not fits)


def _room(counted: tuple[Bucket, int]) -> tuple[int, int]:
    """Return how many requests a bucket has left, and its amount, by which buckets with as many left are ordered."""
    bucket, used = counted
    return bucket.amount - used, bucket.amount


def _counted_by_script(batch: _Waiting, result: list[int]) -> list[Counted]:
    """Divide the result of the script among the groups of equal requests."""
    counted = []
    position = 0
    for demand in batch:
        end = position + 1 + len(demand.buckets)
        counted.append(Counted(result[position], result[position + 1 : end]))
        position = end
    return counted


def _tell(requests: list[asyncio.Future[tuple[bool, list[int]]]], counted: Counted, weight: int) -> None:
    """Give each of some equal requests its own count, as if they had been counted one after the other."""
    fitting, used = counted
    for number, request in enumerate(requests, 1):
        # A request whose client has left does not wait any more.
        if not request.done():
            after = max(fitting - number, 0) * weight
            request.set_result((number <= fitting, [count - after for count in used] if after else used))
