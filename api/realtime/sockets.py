"""Serves one socket: authenticates its caller, sends frames, reads messages, and closes it with a code."""

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import Any, Final

import orjson
import structlog
from falcon import PayloadTypeError, WebSocketDisconnected
from falcon.asgi import WebSocket
from peewee import PeeweeException

from api.http.auth import Authenticator, require_scope
from api.realtime.hub import CloseCode, Listener, NotAdmitted, WriteFrame
from api.realtime.relay import Relay
from core import metrics
from core.errors import Forbidden, Unauthenticated, Unavailable
from core.policy import Actor, Scope

log = structlog.get_logger()

# The code that is logged for a connection that ended without a close frame. It is never sent.
_GONE: Final = 1006
# The metrics have these codes one by one. Clients may close with other codes, which are as many as they want.
_KNOWN_CODES: Final = frozenset({*CloseCode, 1000, 1001, 1005, _GONE, 1011, 1012})
_PONG: Final = '{"type":"pong"}'
_NOT_UNDERSTOOD: Final = '{"type":"error","detail":"Only {\\"action\\": \\"ping\\"} is understood here."}'


@dataclass(frozen=True, slots=True)
class Caller:
    """The account that opens a socket, and when its token expires.

    `expires_at` is in seconds since 1970; for a ticket it is that of the token that bought the ticket. It is None for a
    personal access token, which is valid until its session ends.
    """

    actor: Actor
    expires_at: float | None


async def first_message_caller(ws: WebSocket, authenticator: Authenticator, wait_seconds: float) -> Caller:
    """Authenticate the caller with the token in the first message of an accepted socket.

    Raises:
        NotAdmitted: if the message does not arrive in time, is not an `authenticate` message, or has a bad token; also
            if the database is not available.
    """
    try:
        async with asyncio.timeout(wait_seconds):
            message = _parsed(await ws.receive_text())
    except (TimeoutError, PayloadTypeError):
        raise NotAdmitted(CloseCode.UNAUTHENTICATED) from None
    if message.get("action") != "authenticate" or not isinstance(message.get("token"), str):
        raise NotAdmitted(CloseCode.UNAUTHENTICATED)
    try:
        claims = authenticator.claims(message["token"])
        actor = await authenticator.actor(claims)
        require_scope(actor, Scope.EVENTS_READ)
        return Caller(actor, claims.expires_at)
    except (Forbidden, Unauthenticated) as failure:
        is_ended = failure.stable_code == "session_revoked"
        raise NotAdmitted(CloseCode.SESSION_ENDED if is_ended else CloseCode.UNAUTHENTICATED) from None
    except (Unavailable, PeeweeException):
        raise NotAdmitted(CloseCode.TRY_AGAIN_LATER) from None


class Socket:
    """An accepted socket whose caller is authenticated.

    One task sends and another one reads. Both end when the client disconnects, or when the listener is ended because
    its session has ended, its token has expired, or the client is too slow. The socket is read all the time, even if no
    message is expected, because only reading shows that the client has disconnected.
    """

    def __init__(
        self,
        ws: WebSocket,
        relay: Relay,
        caller: Caller,
        *,
        since: int | None,
        queue_frames: int,
        write: WriteFrame,
    ) -> None:
        self._ws = ws
        self._relay = relay
        self._caller = caller
        self._since = since
        self._listener = Listener(caller.actor, queue_frames, write)

    async def run(self) -> None:
        """Serve the socket until it ends.

        Raises:
            NotAdmitted: if the socket may not be opened. Nothing has been sent in this case.
        """
        self._relay.hub.admit(self._listener)
        started = time.monotonic()
        user_id = self._caller.actor.user_id
        log.info("socket_opened", user_id=user_id, since=self._since)
        code: int = _GONE
        try:
            code = await self._serve()
        finally:
            self._relay.hub.dismiss(self._listener)
            metrics.SOCKETS_CLOSED.add(1, code if code in _KNOWN_CODES else "other")
            seconds = round(time.monotonic() - started, 3)
            log.info("socket_closed", user_id=user_id, code=code, frames=self._listener.frames_sent, seconds=seconds)

    async def _serve(self) -> int:
        """Send and read until the socket has to end, close it, and return the close code."""
        ended = self._listener.ended
        expiry = self._end_at_expiry()
        tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._send())]
        endings: list[asyncio.Future[Any]] = [ended, *tasks]
        try:
            await asyncio.wait(endings, return_when=asyncio.FIRST_COMPLETED)
        finally:
            expiry.cancel()
            for task in tasks:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        if not ended.done():
            return _code_of(outcomes)
        await close(self._ws, ended.result())
        return ended.result()

    def _end_at_expiry(self) -> asyncio.TimerHandle:
        remaining = float("inf") if self._caller.expires_at is None else self._caller.expires_at - time.time()
        return asyncio.get_running_loop().call_later(remaining, self._listener.end, CloseCode.UNAUTHENTICATED)

    async def _send(self) -> None:
        try:
            await self._relay.welcome(self._listener, self._since, self._send_frame)
        except (Unavailable, PeeweeException):
            self._listener.end(CloseCode.TRY_AGAIN_LATER)
        while True:
            await self._send_frame(await self._listener.next_frame())

    async def _send_frame(self, frame: str) -> None:
        await self._ws.send_text(frame)
        self._listener.frames_sent += 1

    async def _read(self) -> None:
        while True:
            try:
                message = _parsed(await self._ws.receive_text())
            except PayloadTypeError:
                message = {}
            self._listener.offer(_PONG if message.get("action") == "ping" else _NOT_UNDERSTOOD)


async def close(ws: WebSocket, code: int) -> None:
    """Close a socket, or refuse the handshake if it is not accepted yet. The client may have disconnected already."""
    with contextlib.suppress(OSError):
        await ws.close(code)


def _parsed(text: str) -> dict[str, Any]:
    """Return the JSON object of a message, or an empty one if the message is not a JSON object."""
    try:
        message = orjson.loads(text)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


def _code_of(outcomes: list[Any]) -> int:
    """Return the code with which the client, or the stopping server, has closed the socket.

    Raises:
        Exception: if the sender or the reader ended for another reason, which is a bug.
    """
    for outcome in outcomes:
        if isinstance(outcome, Exception) and not isinstance(outcome, WebSocketDisconnected):
            raise outcome
    return next((outcome.code for outcome in outcomes if isinstance(outcome, WebSocketDisconnected)), _GONE)
