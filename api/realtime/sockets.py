"""One socket's life: who opens it, what is sent, what is read, and with which code it ends."""

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
from api.realtime.hub import CloseCode, Listener, NotAdmitted
from api.realtime.relay import Relay
from core.errors import Forbidden, Unauthenticated, Unavailable
from core.policy import Actor, Scope

log = structlog.get_logger()

# What stands in the log for a connection that ended without a close frame; it never travels.
_GONE: Final = 1006
_PONG: Final = '{"type":"pong"}'
_NOT_UNDERSTOOD: Final = '{"type":"error","detail":"Only {\\"action\\": \\"ping\\"} is understood here."}'


@dataclass(frozen=True, slots=True)
class Caller:
    """Who opens a socket, and when the token that says so expires (seconds since 1970; None for a ticket, which knows
    no end, and for a personal access token, which ends with its session).
    """

    actor: Actor
    expires_at: float | None


async def first_message_caller(ws: WebSocket, authenticator: Authenticator, patience_seconds: float) -> Caller:
    """Read who calls from the first message of an accepted socket.

    Raises:
        NotAdmitted: where the message does not come in time, is another one, or its token is not good.
    """
    try:
        async with asyncio.timeout(patience_seconds):
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
    """An accepted socket whose caller is known.

    One task sends, another reads, and whatever comes first ends both: the peer leaves, or the listener is ended, for
    its session, its token or its slowness. Reading goes on even where nothing is expected, since only that shows that
    the peer has left.
    """

    def __init__(self, ws: WebSocket, relay: Relay, caller: Caller, *, since: int | None, queue_frames: int) -> None:
        self._ws = ws
        self._relay = relay
        self._caller = caller
        self._since = since
        self._listener = Listener(caller.actor, queue_frames)
        self._frames_sent = 0

    async def run(self) -> None:
        """Serve the socket until it ends.

        Raises:
            NotAdmitted: where it may not be opened, before anything has been sent.
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
            seconds = round(time.monotonic() - started, 3)
            log.info("socket_closed", user_id=user_id, code=code, frames=self._frames_sent, seconds=seconds)

    async def _serve(self) -> int:
        """Send and read until the socket is to end, close it, and answer the code."""
        ended = self._listener.ended
        expiry = self._end_with_token()
        parts = [asyncio.create_task(self._read()), asyncio.create_task(self._send())]
        whatever_is_first: list[asyncio.Future[Any]] = [ended, *parts]
        try:
            await asyncio.wait(whatever_is_first, return_when=asyncio.FIRST_COMPLETED)
        finally:
            expiry.cancel()
            for part in parts:
                part.cancel()
            outcomes = await asyncio.gather(*parts, return_exceptions=True)
        if not ended.done():
            return _code_of(outcomes)
        await close(self._ws, ended.result())
        return ended.result()

    def _end_with_token(self) -> asyncio.TimerHandle:
        remaining = float("inf") if self._caller.expires_at is None else self._caller.expires_at - time.time()
        return asyncio.get_running_loop().call_later(remaining, self._listener.end, CloseCode.UNAUTHENTICATED)

    async def _send(self) -> None:
        try:
            await self._relay.welcome(self._listener, self._since, self._send_frame)
        except (Unavailable, PeeweeException):
            self._listener.end(CloseCode.TRY_AGAIN_LATER)
        while True:
            await self._send_frame(await self._listener.frames.get())

    async def _send_frame(self, frame: str) -> None:
        await self._ws.send_text(frame)
        self._frames_sent += 1

    async def _read(self) -> None:
        while True:
            try:
                message = _parsed(await self._ws.receive_text())
            except PayloadTypeError:
                message = {}
            self._listener.offer(_PONG if message.get("action") == "ping" else _NOT_UNDERSTOOD)


async def close(ws: WebSocket, code: int) -> None:
    """Close a socket, or refuse the handshake where it is not accepted yet; the peer may have left already."""
    with contextlib.suppress(OSError):
        await ws.close(code)


def _parsed(text: str) -> dict[str, Any]:
    """The JSON object of a message; an empty one where it holds anything else."""
    try:
        message = orjson.loads(text)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


def _code_of(outcomes: list[Any]) -> int:
    """The code with which the peer, or the server going down, has closed the socket.

    Raises:
        Exception: what else has ended the sender or the reader, a mistake of ours.
    """
    for outcome in outcomes:
        if isinstance(outcome, Exception) and not isinstance(outcome, WebSocketDisconnected):
            raise outcome
    return next((outcome.code for outcome in outcomes if isinstance(outcome, WebSocketDisconnected)), _GONE)
