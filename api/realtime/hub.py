"""Who listens in this process: the open sockets by account, and what each of them may hear."""

import asyncio
import math
from collections.abc import Collection, Mapping
from enum import IntEnum
from typing import Final

import orjson

from core.events import INTERNAL_TYPES, PRIVATE_TYPES, Event
from core.policy import Actor

# A session that has ended stays ended, so this may forget only because a socket takes seconds to open, not hours.
_REMEMBERED_REVOCATIONS: Final = 10_000


class CloseCode(IntEnum):
    """Why the server closes a socket. 1012, it is going down, is sent by the server itself."""

    TRY_AGAIN_LATER = 1013
    UNAUTHENTICATED = 4401
    SESSION_ENDED = 4403
    TOO_SLOW = 4408
    TOO_MANY_SOCKETS = 4429


class NotAdmitted(Exception):  # noqa: N818 - the caller is told so; nothing has gone wrong.
    """A socket may not be opened; `code` says why."""

    def __init__(self, code: CloseCode) -> None:
        super().__init__(code.name)
        self.code = code


class Listener:
    """One socket as the hub knows it: who listens, the frames to send next, and whether it is to end."""

    __slots__ = ("actor", "after", "ended", "frames")

    def __init__(self, actor: Actor, queue_frames: int) -> None:
        self.actor = actor
        # Live events up to this number are not for this listener: all of them, until it has joined.
        self.after: float = math.inf
        self.frames: asyncio.Queue[str] = asyncio.Queue(queue_frames)
        self.ended: asyncio.Future[CloseCode] = asyncio.get_running_loop().create_future()

    def may_hear(self, event: Event) -> bool:
        """Tell whether an event is for this listener."""
        if event.type in INTERNAL_TYPES:
            return False
        hears_all = self.actor.is_admin and event.type not in PRIVATE_TYPES
        return hears_all or self.actor.user_id in event.audience

    def offer(self, frame: str) -> None:
        """Have a frame sent after those that wait; who lets too many wait is too slow."""
        try:
            self.frames.put_nowait(frame)
        except asyncio.QueueFull:
            self.end(CloseCode.TOO_SLOW)

    def end(self, code: CloseCode) -> None:
        """Have the socket closed; the first reason counts."""
        if not self.ended.done():
            self.ended.set_result(code)


class Hub:
    """The listeners of this process. Nothing here waits, so each call is one step to everything else in the loop."""

    def __init__(self, sockets_per_user: int) -> None:
        self._sockets_per_user = sockets_per_user
        self._of_user: dict[int, set[Listener]] = {}
        self._admins: set[Listener] = set()
        self._revoked: dict[int, None] = {}

    def __len__(self) -> int:
        return sum(map(len, self._of_user.values()))

    def admit(self, listener: Listener) -> None:
        """Count a socket in; it hears nothing yet, but ends with its session.

        Raises:
            NotAdmitted: where the session has ended in the meantime, or the account has as many sockets as it may.
        """
        if listener.actor.session_id in self._revoked:
            raise NotAdmitted(CloseCode.SESSION_ENDED)
        if len(self._of_user.get(listener.actor.user_id, ())) >= self._sockets_per_user:
            raise NotAdmitted(CloseCode.TOO_MANY_SOCKETS)
        self._of_user.setdefault(listener.actor.user_id, set()).add(listener)
        if listener.actor.is_admin:
            self._admins.add(listener)

    def dismiss(self, listener: Listener) -> None:
        """Forget a socket that has ended."""
        user_id = listener.actor.user_id
        listeners = self._of_user[user_id]
        listeners.remove(listener)
        if not listeners:
            del self._of_user[user_id]
        self._admins.discard(listener)

    def deliver(self, event: Event) -> bool:
        """Offer an event to all who may hear it; answers whether there was anybody."""
        # Looking among the candidates only is a shortcut; who may hear what is said in one place.
        candidates = self._admins.union(*(self._of_user.get(user_id, ()) for user_id in event.audience))
        recipients = [listener for listener in candidates if listener.after < event.seq and listener.may_hear(event)]
        if not recipients:
            return False
        frame = event.frame()
        for listener in recipients:
            listener.offer(frame)
        return True

    def start_over(self, seq: int, below: float = math.inf) -> None:
        """Tell listeners that events were lost to them, and that they hear those after `seq` from now on.

        These are all who have joined, or those who joined at a number `below` the given one.
        """
        frame = resync_frame(seq)
        for listener in self._all():
            if listener.after < below:
                listener.after = seq
                listener.offer(frame)

    def revoke(self, session_ids: Collection[int]) -> None:
        """End the sockets of sessions that have ended, and those that are just being opened for them."""
        self._revoked.update(dict.fromkeys(session_ids))
        while len(self._revoked) > _REMEMBERED_REVOCATIONS:
            del self._revoked[next(iter(self._revoked))]
        self._end(session_ids)

    def session_ids(self) -> set[int]:
        """The sessions behind the sockets."""
        return {listener.actor.session_id for listener in self._all()}

    def update_actors(self, asked: Collection[int], living: Mapping[int, Actor]) -> None:
        """Bring the sockets of the sessions `asked` up to date; those that are not among the `living` end."""
        self._end(set(asked) - living.keys())
        for listener in self._all():
            actor = living.get(listener.actor.session_id)
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
    """The first frame of a socket: every event after `seq` that the listener may read follows."""
    return orjson.dumps({"type": "ready", "seq": seq, "user_id": user_id}).decode()


def resync_frame(seq: int) -> str:
    """The frame that sends a listener back to the HTTP API: what it missed is not kept; events after `seq` follow."""
    return orjson.dumps({"type": "resync_required", "seq": seq}).decode()
