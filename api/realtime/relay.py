"""From the event log to the sockets of this process.

One task follows the Redis stream by `position`, the number of the last event that was delivered. PostgreSQL is the
truth: wherever the stream does not simply go on at `position + 1` (it was trimmed, or Redis lost its memory, or has
been away), the relay reads on from there, and so does a listener who asks for what it missed.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson
import structlog
from peewee import PeeweeException
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from api.http.auth import Authenticator
from api.http.threads import Bridge
from api.realtime.hub import Hub, Listener, ready_frame, resync_frame
from core.config import Settings
from core.errors import Unavailable
from core.events import SESSIONS_REVOKED, STREAM_KEY, Event, bounds, read_since
from core.services import sessions
from core.services.publication import event_from_entry

log = structlog.get_logger()

# The socket may be silent for longer than a read blocks; otherwise every quiet spell would look like an outage.
_BLOCK_MILLISECONDS: Final = 2000
_SOCKET_SECONDS: Final = 5.0
_CONNECT_SECONDS: Final = 2.0
_BATCH: Final = 100
_PAUSES_SECONDS: Final = (0.1, 0.2, 0.5, 1.0, 2.0)
_LEAST_CHECK_SECONDS: Final = 1.0

Send = Callable[[str], Awaitable[None]]


class _ForeignStream(Exception):  # noqa: N818 - the publisher will renew the stream; it is no mistake of this process.
    """The stream is ahead of the database, so it tells of another history, from before the database was restored."""


_FORESEEN: Final = (RedisError, OSError, PeeweeException, Unavailable, _ForeignStream)


@dataclass(frozen=True, slots=True)
class RelayState:
    """How the relay is doing. `position` is None until the database has answered for the first time."""

    position: int | None
    listeners: int
    connected: bool


class Relay:
    """Follows the event log and delivers to `hub`; one a process."""

    def __init__(self, settings: Settings, bridge: Bridge, authenticator: Authenticator) -> None:
        self.hub = Hub(settings.sockets_per_user)
        self._bridge = bridge
        self._authenticator = authenticator
        self._check_seconds = max(settings.session_cache_seconds, _LEAST_CHECK_SECONDS)
        self._redis = Redis.from_url(
            settings.redis_url.get_secret_value(),
            socket_timeout=_SOCKET_SECONDS,
            socket_connect_timeout=_CONNECT_SECONDS,
            retry=Retry(NoBackoff(), 0),
            single_connection_client=True,
        )
        self._position = 0
        self._located = asyncio.Event()
        self._connected = False
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to follow, from the last event that PostgreSQL knows of; to be called in the event loop."""
        self._tasks = [
            asyncio.create_task(self._follow(), name="relay"),
            asyncio.create_task(self._check_sessions(), name="relay-sessions"),
        ]

    async def stop(self) -> None:
        """Stop following; sockets are left to the server, which closes them."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(*_FORESEEN):
            await self._redis.aclose()

    def snapshot(self) -> RelayState:
        """Tell how the relay is doing."""
        return RelayState(self._position if self._located.is_set() else None, len(self.hub), self._connected)

    async def welcome(self, listener: Listener, since: int | None, send: Send) -> None:
        """Send what comes before the live events, and let the listener join those without a gap.

        The first frame is `ready`. The events after `since` follow, out of PostgreSQL and at the pace of the
        listener; where they are not kept, `resync_required` does. `listener.frames` goes on from there.
        """
        await self._located.wait()
        user_id = listener.actor.user_id
        if since is None:
            await send(ready_frame(self._join(listener), user_id))
            return
        kept = await self._bridge.run(bounds)
        if kept.oldest - 1 <= since <= kept.last:
            await send(ready_frame(since, user_id))
            if not await self._replay(listener, since, send):
                await send(resync_frame(self._join(listener)))
        else:
            position = self._join(listener)
            await send(ready_frame(position, user_id))
            await send(resync_frame(position))

    def _join(self, listener: Listener) -> int:
        listener.after = self._position
        return self._position

    async def _replay(self, listener: Listener, since: int, send: Send) -> bool:
        """Send what came after `since` and let the listener join; answers False where events are gone by now."""
        while True:
            known = self._position
            page = await self._bridge.run(read_since, since, _BATCH)
            for event in page:
                if event.seq != since + 1:
                    return False
                if listener.may_hear(event):
                    await send(event.frame())
                since = event.seq
            # Nothing is awaited between this comparison and the joining, so no event slips through in between.
            if since >= self._position:
                listener.after = since
                return True
            if not page and since < known:
                return False

    async def _follow(self) -> None:
        """Read for ever, through outages of either server."""
        failures = 0
        while True:
            try:
                await self._locate()
                await self._synchronize()
                if failures:
                    log.info("relay_recovered", position=self._position)
                failures = 0
                await self._read()
            # Whatever it was: a relay that ends would leave a process that looks well and is deaf.
            except Exception as error:
                self._connected = False
                if failures == 0:
                    log.warning(
                        "relay_interrupted",
                        reason=type(error).__name__,
                        position=self._position,
                        exc_info=not isinstance(error, _FORESEEN),
                    )
                await asyncio.sleep(_PAUSES_SECONDS[min(failures, len(_PAUSES_SECONDS) - 1)])
                failures += 1

    async def _locate(self) -> None:
        if not self._located.is_set():
            self._position = (await self._bridge.run(bounds)).last
            self._located.set()

    async def _read(self) -> None:
        """Deliver what the stream brings, until something fails."""
        while True:
            answer: Any = await self._redis.xread(
                {STREAM_KEY: f"{self._position}-0"}, count=_BATCH, block=_BLOCK_MILLISECONDS
            )
            events = _decoded(answer[0][1]) if answer else []
            if not events or not await self._deliver_in_order(events):
                await self._synchronize()

    async def _synchronize(self) -> None:
        """Compare with the stream's end, and where it is not at `position`, go on from PostgreSQL."""
        newest: Any = await self._redis.xrevrange(STREAM_KEY, count=1)
        self._connected = True
        end = int(newest[0][0].split(b"-")[0]) if newest else 0
        if end == self._position:
            return
        kept = await self._bridge.run(bounds)
        if end > kept.last:
            raise _ForeignStream
        if kept.last < self._position:
            log.warning("event_log_restored", position=self._position, last=kept.last)
            self._position = kept.last
            self.hub.start_over(kept.last)
        while page := await self._bridge.run(read_since, self._position, _BATCH):
            if page[0].seq > self._position + 1:
                self._skip_to(page[0].seq - 1)
            await self._deliver_in_order(page)
        if self._position < kept.last:
            self._skip_to(kept.last)

    def _skip_to(self, seq: int) -> None:
        """Go on after events that are kept nowhere any more."""
        log.warning("events_missed", position=self._position, next=seq + 1)
        self._position = seq
        self.hub.start_over(seq, below=seq)

    async def _deliver_in_order(self, events: list[Event]) -> bool:
        """Deliver up to the first gap; answers whether there was none."""
        for event in events:
            if event.seq != self._position + 1:
                return False
            self._position = event.seq
            if event.type == SESSIONS_REVOKED:
                self._end_sessions(event)
            elif self.hub.deliver(event):
                # The senders get their turn, or a burst would fill the queues of those who keep up as well.
                await asyncio.sleep(0)
        return True

    def _end_sessions(self, event: Event) -> None:
        session_ids = set(orjson.loads(event.data)["session_ids"])
        self._authenticator.forget(session_ids)
        self.hub.revoke(session_ids)

    async def _check_sessions(self) -> None:
        """Look the sessions of all sockets up now and then: without Redis, this is how a socket learns of its end."""
        while True:
            await asyncio.sleep(self._check_seconds)
            asked = self.hub.session_ids()
            if asked:
                with contextlib.suppress(PeeweeException, Unavailable):
                    self.hub.update_actors(asked, await self._bridge.run(sessions.session_actors, asked))


def _decoded(entries: list[Any]) -> list[Event]:
    """The events of stream entries; none where one is not of our making, which sends the reader to PostgreSQL."""
    try:
        return [event_from_entry(entry_id, fields) for entry_id, fields in entries]
    except (KeyError, ValueError):
        return []
