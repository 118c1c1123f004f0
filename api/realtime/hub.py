"""The open sockets of this process by account, and which events each of them may receive."""

import asyncio
import math
from collections.abc import Callable, Collection, Mapping
from enum import IntEnum
from time import perf_counter
from typing import Final, NamedTuple

import orjson

from api.http.places import Places
from api.realtime.ws_protocol import encoded_frame
from core import metrics
from core.activity import ACTIVITY, EVICTED
from core.events import INTERNAL_TYPES, PRIVATE_TYPES, Event
from core.policy import Actor

# How many revoked sessions are kept. This only has to cover sessions that are revoked while one of their sockets is
# being opened, which takes seconds, so old entries can be dropped.
_MAX_REVOCATIONS: Final = 10_000


class CloseCode(IntEnum):
    """Why the API closes a socket. The code 1012 (the server stops) is not here, because uvicorn sends it itself."""

    TRY_AGAIN_LATER = 1013
    UNAUTHENTICATED = 4401
    SESSION_ENDED = 4403
    TOO_SLOW = 4408
    TOO_MANY_SOCKETS = 4429


class NotAdmitted(Exception):  # noqa: N818 - this is an expected refusal, not an error.
    """Raised when a socket may not be opened. `code` is the reason."""

    def __init__(self, code: CloseCode) -> None:
        super().__init__(code.name)
        self.code = code


class Frame(NamedTuple):
    """A frame that waits to be sent; `is_event` says whether it contains an event."""

    text: str
    is_event: bool


WriteFrame = Callable[[bytes], bool]
"""Writes an encoded frame to a socket if that is possible at once, and returns whether it did so."""


class Listener:
    """One socket in the hub: its account, the frames that wait to be sent, and the reason to close it, if any.

    An event is written to the socket at once if no earlier frame waits and the peer has read everything. So an event
    for a thousand sockets is encoded once, and wakes none of the thousand tasks that send. A frame then costs 12 µs of
    CPU time, nearly as little as a bare broadcast of `websockets` (11 µs); with the task it costs 30 µs.
    """

    __slots__ = ("_sender_is_idle", "_write", "access_losses", "actor", "after", "ended", "frames", "frames_sent")

    def __init__(self, actor: Actor, queue_frames: int, write: WriteFrame = lambda _frame: False) -> None:
        self.actor = actor
        self._write = write
        self._sender_is_idle = False
        self.frames_sent = 0
        # This listener gets only live events with a higher number; infinity means none, until it has joined.
        self.after: float = math.inf
        self.frames: asyncio.Queue[Frame] = asyncio.Queue(queue_frames)
        # How often this listener's account has lost access to tasks since the socket was opened.
        self.access_losses = 0
        self.ended: asyncio.Future[CloseCode] = asyncio.get_running_loop().create_future()

    def may_receive(self, event: Event) -> bool:
        """Return whether this listener may receive an event."""
        if event.type in INTERNAL_TYPES:
            return False
        receives_all = self.actor.is_admin and event.type not in PRIVATE_TYPES
        return receives_all or self.actor.user_id in event.audience

    def offer(self, text: str) -> None:
        """Add a frame to the queue of frames to send. If the queue is full, the socket is closed as too slow."""
        self._enqueue(Frame(text, is_event=False))

    def offer_event(self, text: str, encoded: bytes) -> None:
        """Send the frame of an event, at once or by the queue; `encoded` is the same frame as it is written."""
        if self._sender_is_idle and self.frames.empty() and not self.ended.done() and self._write(encoded):
            self.frames_sent += 1
        else:
            self._enqueue(Frame(text, is_event=True))

    async def next_frame(self) -> str:
        """Wait for the next frame of the queue. Until the next call, the caller sends it, and nothing overtakes it."""
        self._sender_is_idle = True
        try:
            return (await self.frames.get()).text
        finally:
            self._sender_is_idle = False

    def _enqueue(self, frame: Frame) -> None:
        try:
            self.frames.put_nowait(frame)
        except asyncio.QueueFull:
            self.end(CloseCode.TOO_SLOW)

    def lose_access(self, seq: int) -> None:
        """Discard the events that wait to be sent, because some may be about tasks that the account cannot read now.

        If there are any, `resync_required` takes their place, and the listener continues with the events after `seq`.
        """
        self.access_losses += 1
        waiting = [self.frames.get_nowait() for _ in range(self.frames.qsize())]
        for frame in waiting:
            if not frame.is_event:
                self.frames.put_nowait(frame)
        if any(frame.is_event for frame in waiting):
            self.offer(resync_frame(seq))

    def end(self, code: CloseCode) -> None:
        """Request that the socket is closed. Only the first reason is used."""
        if not self.ended.done():
            self.ended.set_result(code)
            if code is CloseCode.TOO_SLOW:
                ACTIVITY.count(EVICTED)


class WaitingRoom(Places[str]):
    """Counts the sockets of this process that are open but not authenticated yet, by client address and in all.

    A socket that is one too many gets `NotAdmitted`.
    """

    def refusal(self, *, all_taken: bool) -> Exception:  # noqa: ARG002 - both have the same close code.
        """Return the error of a socket that is one too many."""
        return NotAdmitted(CloseCode.TOO_MANY_SOCKETS)


class Hub:
    """The listeners of this process.

    No method awaits anything, so no other coroutine of the event loop runs in the middle of a call.
    """

    def __init__(self, sockets_per_user: int) -> None:
        self._sockets_per_user = sockets_per_user
        self._of_user: dict[int, set[Listener]] = {}
        self._admins: set[Listener] = set()
        self._revoked: dict[int, None] = {}
        metrics.SOCKETS_OPEN.read_from(self.__len__)
        for code in CloseCode:
            metrics.SOCKETS_CLOSED.begin(code)

    def __len__(self) -> int:
        # The heartbeat asks in a thread. No change of the dictionary can come between the steps of making the tuple.
        return sum(map(len, tuple(self._of_user.values())))

    def admit(self, listener: Listener) -> None:
        """Add a listener. It receives no events yet, but is closed when its session ends.

        Raises:
            NotAdmitted: if the session has ended in the meantime, or the account already has its maximum of sockets.
        """
        if listener.actor.session_id in self._revoked:
            raise NotAdmitted(CloseCode.SESSION_ENDED)
        if len(self._of_user.get(listener.actor.user_id, ())) >= self._sockets_per_user:
            raise NotAdmitted(CloseCode.TOO_MANY_SOCKETS)
        self._of_user.setdefault(listener.actor.user_id, set()).add(listener)
        if listener.actor.is_admin:
            self._admins.add(listener)

    def dismiss(self, listener: Listener) -> None:
        """Remove a listener whose socket has ended."""
        user_id = listener.actor.user_id
        listeners = self._of_user[user_id]
        listeners.remove(listener)
        if not listeners:
            del self._of_user[user_id]
        self._admins.discard(listener)

    def deliver(self, event: Event) -> bool:
        """Offer an event to all listeners that may receive it, and return whether there are any."""
        # The candidates only make the search faster; `may_receive()` decides which of them get the event.
        candidates = self._admins.union(*(self._of_user.get(user_id, ()) for user_id in event.audience))
        recipients = [listener for listener in candidates if listener.after < event.seq and listener.may_receive(event)]
        if not recipients:
            return False
        started = perf_counter()
        text = event.frame()
        encoded = encoded_frame(text)
        for listener in recipients:
            listener.offer_event(text, encoded)
        metrics.FAN_OUT_SECONDS.observe(perf_counter() - started)
        metrics.FRAMES_SENT.add(len(recipients))
        return True

    def lose_access(self, user_ids: Collection[int], seq: int) -> None:
        """Have what waits for these accounts discarded, because they may no longer read some tasks.

        `seq` is the number of the event that says so.
        """
        for user_id in user_ids:
            for listener in self._of_user.get(user_id, ()):
                listener.lose_access(seq)

    def start_over(self, seq: int, below: float = math.inf) -> None:
        """Send `resync_required` to listeners that have missed events; they continue with the events after `seq`.

        These are all listeners that have joined and whose `after` is less than `below`.
        """
        frame = resync_frame(seq)
        for listener in self._all():
            if listener.after < below:
                listener.after = seq
                listener.offer(frame)

    def revoke(self, session_ids: Collection[int]) -> None:
        """Close the sockets of sessions that have ended, and refuse those that are just being opened."""
        self._revoked.update(dict.fromkeys(session_ids))
        while len(self._revoked) > _MAX_REVOCATIONS:
            del self._revoked[next(iter(self._revoked))]
        self._end(session_ids)

    def session_ids(self) -> set[int]:
        """Return the sessions of all sockets."""
        return {listener.actor.session_id for listener in self._all()}

    def update_actors(self, checked: Collection[int], valid: Mapping[int, Actor]) -> None:
        """Update the account data of the `checked` sessions' sockets, and close those whose session is not `valid`.

        Args:
            checked: The sessions that were looked up.
            valid: The sessions among them that are still valid, with their current account data.
        """
        self._end(set(checked) - valid.keys())
        for listener in self._all():
            actor = valid.get(listener.actor.session_id)
            if actor is not None:
                listener.actor = actor
                (self._admins.add if actor.is_admin else self._admins.discard)(listener)

    def _end(self, session_ids: Collection[int]) -> None:
        for listener in self._all():
            if listener.actor.session_id in session_ids:
                listener.end(CloseCode.SESSION_ENDED)

    def _all(self) -> list[Listener]:
        return [listener for listeners in self._of_user.values() for listener in listeners]


def ready_frame(seq: int, user_id: int) -> str:
    """Return the first frame of a socket. All events after `seq` that the listener may receive follow."""
    return orjson.dumps({"type": "ready", "seq": seq, "user_id": user_id}).decode()


def resync_frame(seq: int) -> str:
    """Return the frame for a listener that missed events which are no longer stored. Events after `seq` follow.

    The client has to load the current state over the HTTP API.
    """
    return orjson.dumps({"type": "resync_required", "seq": seq}).decode()
