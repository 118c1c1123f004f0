"""The WebSocket of live events, and the tickets that open it."""

from datetime import timedelta
from functools import partial
from typing import Any, Final

import structlog
from falcon.asgi import Request, Response, WebSocket
from peewee import PeeweeException

from api.http.auth import require_actor, require_scope
from api.http.operation import operation
from api.http.origins import is_allowed_origin
from api.http.resource import Resource, Services
from api.http.routing import Route, unversioned, versioned
from api.realtime.hub import CloseCode, NotAdmitted
from api.realtime.relay import Relay
from api.realtime.schemas import TicketGrant
from api.realtime.sockets import Caller, Socket, close, first_message_caller
from core.errors import Failure, FieldError, Forbidden, Invalid, Unavailable
from core.messages import msg
from core.policy import Actor, Scope
from core.services import sessions

log = structlog.get_logger()

FIRST_MESSAGE_SECONDS = 5.0
# Below this many digits a number is sure to fit into PostgreSQL's bigint.
_BIGINT_DIGITS: Final = 19


class Tickets(Resource):
    """Where clients that cannot set a header on a WebSocket get what opens one."""

    @operation(201, TicketGrant, tag="realtime", scope=Scope.EVENTS_READ)
    async def on_post(self, resp: Response, actor: Actor) -> dict[str, Any]:
        """Issue a ticket for one WebSocket.

        For browsers, which cannot send a header with the handshake: `/ws?ticket=…` works once, and soon.
        """
        seconds = self.settings.ws_ticket_seconds
        ticket = await self.bridge.run(sessions.issue_ticket, actor, timedelta(seconds=seconds))
        resp.set_header("Cache-Control", "no-store")
        return {"ticket": ticket, "expires_in": seconds}


class Sockets(Resource):
    """Where live events are heard.

    Whoever comes with a bad token, ticket, `since` or origin is refused before the socket is accepted, and sees a bare
    403: no code can be told at that point. After that the socket closes with

    - 4401 where the first message is missing, late or bad, and when the token expires;
    - 4403 where the session has ended or the account is disabled;
    - 4408 where too many frames wait for a peer that is slow to read;
    - 4429 where the account has as many sockets as it may: the older ones stay, since clients that displaced one
      another would reconnect without end;
    - 1013 where the database cannot be asked now who is calling or what was missed: the same is worth another try;
    - 1012 when the server goes down. After this one, 4408 and any loss of the connection, come back with `since`.
    """

    def __init__(self, services: Services, relay: Relay) -> None:
        super().__init__(services)
        self._allowed_origins = {origin.lower().rstrip("/") for origin in self.settings.allowed_origins}
        self._relay = relay

    async def on_websocket(self, req: Request, ws: WebSocket, client_id: str = "") -> None:  # noqa: ARG002 - ancestors' clients name themselves in the path; who they are, the token says.
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
        await ws.accept()
        try:
            if caller is None:
                caller = await first_message_caller(ws, self.authenticator, FIRST_MESSAGE_SECONDS)
            await Socket(ws, self._relay, caller, since=since, queue_frames=self.settings.socket_queue_frames).run()
        except NotAdmitted as refusal:
            log.info("socket_refused", reason=refusal.code.name.lower())
            await close(ws, refusal.code)

    def _check_origin(self, req: Request) -> None:
        """Keep pages of other sites from opening sockets; what is no browser sends no origin."""
        if not is_allowed_origin(req, self._allowed_origins):
            raise Forbidden(msg("This origin may not open a socket."), code="origin_not_allowed")

    async def _handshake_caller(self, req: Request) -> Caller | None:
        """Tell who calls by header or ticket; None where the first message is to tell."""
        if req.get_header("Authorization") is not None:
            actor = await require_actor(req)
            require_scope(actor, Scope.EVENTS_READ)
            return Caller(actor, req.context.claims.expires_at)
        ticket = req.get_param("ticket")
        if ticket is not None:
            return Caller(await self.bridge.run(sessions.redeem_ticket, ticket), None)
        return None


def _since(req: Request) -> int | None:
    value = req.get_param("since")
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) < _BIGINT_DIGITS):
        raise Invalid([FieldError("since", msg("must be the number of an event"))])
    return int(value)


def routes(relay: Relay) -> list[Route]:
    """The routes of live events."""
    sockets = partial(Sockets, relay=relay)
    return [
        *versioned("/ws/tickets", Tickets),
        *unversioned("/ws", sockets),
        *unversioned("/ws/tasks/{client_id}", sockets),
    ]
