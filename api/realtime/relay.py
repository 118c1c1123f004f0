"""Sends events from the event log to the sockets of this process.

One task reads the Redis stream. `position` is the number of the last event that was delivered. PostgreSQL holds the
authoritative event log: if the stream does not continue with `position + 1` (because it was trimmed, or because Redis
lost its data or was unavailable), the relay reads the next events from PostgreSQL. So does a listener that asks for
events which it has missed.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson
import structlog
from peewee import PeeweeException
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from api.http.auth import Authenticator
from api.http.threads import Bridge
from api.realtime.hub import Hub, Listener, ready_frame, resync_frame
from core import redis_clients
from core.activity import ACTIVITY
from core.config import Settings
from core.errors import Unavailable
from core.events import ACCESS_LOST, SESSIONS_REVOKED, STREAM_KEY, Event, bounds, read_missed, read_since
from core.services import sessions
from core.services.publication import event_from_entry

log = structlog.get_logger()

# The socket's time-out must be longer than a blocking read, or else a stream without new events would cause time-outs.
_BLOCK_MILLISECONDS: Final = 2000
_SOCKET_SECONDS: Final = 5.0
_CONNECT_SECONDS: Final = 2.0
_BATCH: Final = 100
_PAUSES_SECONDS: Final = (0.1, 0.2, 0.5, 1.0, 2.0)
_LEAST_CHECK_SECONDS: Final = 1.0

Send = Callable[[str], Awaitable[None]]


class _ForeignStream(Exception):  # noqa: N818 - not an error of this process; the publisher will rebuild the stream.
    """The stream has newer events than the database, so it was written before the database was restored."""


_EXPECTED_ERRORS: Final = (RedisError, OSError, PeeweeException, Unavailable, _ForeignStream)


@dataclass(frozen=True, slots=True)
class RelayState:
    """The state of the relay. `position` is None until it has been read from the database for the first time."""

    position: int | None
    listeners: int
    connected: bool


class Relay:
    """Follows the event log and delivers its events to `hub`. Each process has one relay."""

    def __init__(self, settings: Settings, bridge: Bridge, authenticator: Authenticator) -> None:
        self.hub = Hub(settings.sockets_per_user)
        self._bridge = bridge
        self._authenticator = authenticator
        self._check_seconds = max(settings.session_cache_seconds, _LEAST_CHECK_SECONDS)
        self._redis = redis_clients.connect_async(
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
        self._is_stopping = False

    def start(self) -> None:
        """Start after the last event in PostgreSQL. This must be called in the event loop."""
        ACTIVITY.open_sockets = self.hub.__len__
        self._tasks = [
            asyncio.create_task(self._follow(), name="relay"),
            asyncio.create_task(self._check_sessions(), name="relay-sessions"),
        ]

    async def stop(self) -> None:
        """Stop following the event log. The sockets are not closed here but by the server.

        In Python 3.11 a cancellation can get lost if it arrives in the moment in which a read ends, because `wait_for`
        then returns the result instead. So the tasks also look at a flag before each of their steps.
        """
        self._is_stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(*_EXPECTED_ERRORS):
            await self._redis.aclose()

    def snapshot(self) -> RelayState:
        """Return the state of the relay."""
        return RelayState(self._position if self._located.is_set() else None, len(self.hub), self._connected)

    async def welcome(self, listener: Listener, since: int | None, send: Send) -> None:
        """Send the first frames of a socket, and let the listener join the live events without a gap.

        The first frame is `ready`. Then the events after `since` are read from PostgreSQL and sent, each after the one
        before it has been sent. If they are no longer stored, `resync_required` is sent instead. All later events are
        added to `listener.frames`.

        Args:
            listener: The listener of the socket; the hub has admitted it.
            since: The number of the last event that the client has received, or None to get only new events.
            send: Sends a frame to the client.

        Raises:
            Unavailable: if the database takes too long.
            PeeweeException: if the database cannot be reached.
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
        """Send the events after `since` and let the listener join. Return False if some are no longer stored."""
        while True:
            known = self._position
            losses = listener.access_losses
            page = await self._bridge.run(read_missed, listener.actor, since, _BATCH)
            for seq, event in page:
                if listener.access_losses != losses:
                    # The rest of the page may be about tasks that the account cannot read now, so it is read again.
                    break
                if seq != since + 1:
                    return False
                if event is not None:
                    await send(event.frame())
                since = seq
            # Nothing is awaited between this comparison and the assignment, so no event can be missed in between.
            if since >= self._position:
                listener.after = since
                return True
            if not page and since < known:
                return False

    async def _follow(self) -> None:
        """Read the event log until the relay stops, also after outages of Redis or PostgreSQL."""
        failures = 0
        while not self._is_stopping:
            try:
                await self._locate()
                await self._synchronize()
                if failures:
                    log.info("relay_recovered", position=self._position)
                failures = 0
                await self._read()
            # Every error is caught: if this task ended, the process would look healthy but deliver no events.
            except Exception as error:
                self._connected = False
                if failures == 0:
                    log.warning(
                        "relay_interrupted",
                        reason=type(error).__name__,
                        position=self._position,
                        exc_info=not isinstance(error, _EXPECTED_ERRORS),
                    )
                await asyncio.sleep(_PAUSES_SECONDS[min(failures, len(_PAUSES_SECONDS) - 1)])
                failures += 1

    async def _locate(self) -> None:
        if not self._located.is_set():
            self._position = (await self._bridge.run(bounds)).last
            self._located.set()

    async def _read(self) -> None:
        """Deliver the events of the stream until the relay stops or an error is raised."""
        while not self._is_stopping:
            response: Any = await self._redis.xread(
                {STREAM_KEY: f"{self._position}-0"}, count=_BATCH, block=_BLOCK_MILLISECONDS
            )
            events = _decoded(response[0][1]) if response else []
            if not events or not await self._deliver_in_order(events):
                await self._synchronize()

    async def _synchronize(self) -> None:
        """If the stream does not end at `position`, deliver the missing events from PostgreSQL."""
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
            if self._is_stopping:
                return
            if page[0].seq > self._position + 1:
                self._skip_to(page[0].seq - 1)
            await self._deliver_in_order(page)
        if self._position < kept.last:
            self._skip_to(kept.last)

    def _skip_to(self, seq: int) -> None:
        """Continue after `seq`, because the events before it are no longer stored anywhere."""
        log.warning("events_missed", position=self._position, next=seq + 1)
        self._position = seq
        self.hub.start_over(seq, below=seq)

    async def _deliver_in_order(self, events: list[Event]) -> bool:
        """Deliver events up to the first gap in their numbers, and return whether there is no gap."""
        for event in events:
            if event.seq != self._position + 1:
                return False
            self._position = event.seq
            if event.type == SESSIONS_REVOKED:
                self._end_sessions(event)
            elif event.type == ACCESS_LOST:
                self.hub.lose_access(event.audience, event.seq)
            elif self.hub.deliver(event):
                # Let the sockets send now; otherwise many events at once would fill even the queues of fast clients.
                await asyncio.sleep(0)
        return True

    def _end_sessions(self, event: Event) -> None:
        session_ids = set(orjson.loads(event.data)["session_ids"])
        self._authenticator.forget(session_ids)
        self.hub.revoke(session_ids)

    async def _check_sessions(self) -> None:
        """Regularly look up the sessions of all sockets. Without Redis, this alone closes sockets of ended sessions."""
        while not self._is_stopping:
            await asyncio.sleep(self._check_seconds)
            checked = self.hub.session_ids()
            if checked:
                await self._check(checked)

    async def _check(self, session_ids: set[int]) -> None:
        """Look up sessions, and tell the hub what their accounts may do now."""
        try:
            self.hub.update_actors(session_ids, await self._bridge.run(sessions.session_actors, session_ids))
        except (PeeweeException, Unavailable):
            # The next look-up may succeed. The relay logs it if PostgreSQL cannot be reached.
            pass
        # Every error is caught: if this task ended, sockets of ended sessions would stay open without Redis.
        except Exception:
            log.exception("session_check_failed")


def _decoded(entries: list[Any]) -> list[Event]:
    """Return the events of stream entries, or none if an entry is malformed; then PostgreSQL is read instead."""
    try:
        return [event_from_entry(entry_id, fields) for entry_id, fields in entries]
    except (KeyError, ValueError):
        return []
