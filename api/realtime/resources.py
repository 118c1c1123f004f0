"""The WebSocket of live events, and the tickets that open it."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Any, Final

import structlog
from falcon.asgi import Request, Response, WebSocket
from peewee import PeeweeException

from api.http.auth import require_actor, require_scope
from api.http.call import Call, FromRequest
from api.http.operation import operation
from api.http.origins import is_allowed_origin
from api.http.resource import Resource, Services
from api.http.routing import Route, unversioned, versioned
from api.realtime.hub import CloseCode, NotAdmitted, WaitingRoom
from api.realtime.relay import Relay
from api.realtime.schemas import TicketGrant
from api.realtime.sockets import Caller, Socket, close, first_message_caller
from api.realtime.ws_protocol import WRITE_FRAME
from core.addresses import counted_address
from core.errors import Failure, FieldError, Forbidden, Invalid, Unavailable
from core.messages import msg
from core.policy import Actor, Scope
from core.services import sessions

log = structlog.get_logger()

FIRST_MESSAGE_SECONDS = 5.0
# Every number with fewer digits than this fits into PostgreSQL's bigint.
_BIGINT_DIGITS: Final = 19


def _token_expiry(call: Call) -> datetime | None:
    expires_at: int | None = call.request.context.claims.expires_at
    return None if expires_at is None else datetime.fromtimestamp(expires_at, UTC)


TokenExpiry = Annotated[datetime | None, FromRequest(_token_expiry)]
"""When the access token of a request expires; None for a personal access token, which ends with its session."""


class Tickets(Resource):
    """Tickets for clients that cannot send an `Authorization` header with a WebSocket handshake."""

    @operation(201, TicketGrant, tag="realtime", scope=Scope.EVENTS_READ)
    async def on_post(self, resp: Response, actor: Actor, token_expires_at: TokenExpiry) -> dict[str, Any]:
        """Issue a ticket for one WebSocket.

        For browsers, which cannot send a header with the handshake. `/ws?ticket=…` works once, within a short time. The
        socket is closed when the access token of this request expires.
        """
        seconds = self.settings.ws_ticket_seconds
        ticket = await self.bridge.run(sessions.issue_ticket, actor, timedelta(seconds=seconds), token_expires_at)
        resp.set_header("Cache-Control", "no-store")
        return {"ticket": ticket, "expires_in": seconds}


class Sockets(Resource):
    """The WebSocket of live events.

    A handshake with a bad token, ticket, `since` or origin is refused with a bare 403, because a socket that has not
    been accepted cannot be closed with a code; likewise a handshake without a token if too many sockets wait for their
    first message. An accepted socket is closed with

    - 4401 if the first message is missing, late or bad, and when the token expires;
    - 4403 if the session has ended or the account is disabled;
    - 4408 if too many frames wait for a client that reads too slowly;
    - 4429 if the account already has its maximum of sockets. The older sockets stay open: if a new one replaced an old
      one, two clients could replace each other's sockets without end;
    - 1013 if the database is not available to authenticate the client or to read missed events. The client may retry;
    - 1012 when the server stops.

    After 1012, 4408 or a lost connection, the client should reconnect with `since`.
    """

    def __init__(self, services: Services, relay: Relay) -> None:
        super().__init__(services)
        self._allowed_origins = {origin.lower().rstrip("/") for origin in self.settings.allowed_origins}
        self._relay = relay
        self._waiting_room = WaitingRoom(self.settings.sockets_waiting_per_address, self.settings.sockets_waiting)

    async def on_websocket(self, req: Request, ws: WebSocket, client_id: str = "") -> None:  # noqa: ARG002 - an id that clients of an earlier API put into the path; it is not used.
        """Serve one socket from the handshake to its end."""
        try:
            since = _since(req)
            self._check_origin(req)
            caller = await self._handshake_caller(req)
        except (Unavailable, PeeweeException):
            await ws.accept()
            await close(ws, CloseCode.TRY_AGAIN_LATER)
            return
        except Failure as failure:
            log.info("socket_refused", reason=failure.stable_code)
            await close(ws, CloseCode.UNAUTHENTICATED)
            return
        try:
            if caller is None:
                with self._waiting_room.taken_by(counted_address(req.context.client_address)):
                    await ws.accept()
                    caller = await first_message_caller(ws, self.authenticator, FIRST_MESSAGE_SECONDS)
            else:
                await ws.accept()
            frames, write = self.settings.socket_queue_frames, req.scope["extensions"][WRITE_FRAME]
            await Socket(ws, self._relay, caller, since=since, queue_frames=frames, write=write).run()
        except NotAdmitted as refusal:
            log.info("socket_refused", reason=refusal.code.name.lower())
            await close(ws, refusal.code)

    def _check_origin(self, req: Request) -> None:
        """Refuse sockets that pages of other sites open. Clients other than browsers send no origin."""
        if not is_allowed_origin(req, self._allowed_origins):
            raise Forbidden(msg("This origin may not open a socket."), code="origin_not_allowed")

    async def _handshake_caller(self, req: Request) -> Caller | None:
        """Return the caller that the header or the ticket identifies, or None if the first message has to do so."""
        if req.get_header("Authorization") is not None:
            actor = await require_actor(req)
            require_scope(actor, Scope.EVENTS_READ)
            return Caller(actor, req.context.claims.expires_at)
        ticket = req.get_param("ticket")
        if ticket is not None:
            actor, token_expires_at = await self.bridge.run(sessions.redeem_ticket, ticket)
            return Caller(actor, None if token_expires_at is None else token_expires_at.timestamp())
        return None


def _since(req: Request) -> int | None:
    value = req.get_param("since")
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) < _BIGINT_DIGITS):
        raise Invalid([FieldError("since", msg("must be the number of an event"))])
    return int(value)


def routes(relay: Relay) -> list[Route]:
    """Return the routes of live events."""
    sockets = partial(Sockets, relay=relay)
    return [
        *versioned("/ws/tickets", Tickets),
        *unversioned("/ws", sockets),
        *unversioned("/ws/tasks/{client_id}", sockets),
    ]
