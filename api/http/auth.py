"""Who calls: the access token of a request, and the session behind it.

The signature is checked at once, in the event loop. Whether the session still lives is known from a small cache: a
session is looked up when it is first seen and again when the entry has become `max_age` seconds old. A revocation
removes the entry in every process through the event stream; without Redis it takes effect when the entry ages out.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from falcon.asgi import Request, Response, WebSocket

from api.http.threads import Bridge
from core.errors import Forbidden, Unauthenticated
from core.messages import msg
from core.policy import Actor, Scope, may_administer, missing_scope
from core.security import AccessClaims, TokenIssuer, is_personal
from core.services import personal_tokens, sessions

_CACHED = 50_000
_BEARER = "bearer "


@dataclass(frozen=True, slots=True)
class _Known:
    actor: Actor
    until: float


class Authenticator:
    """Turns access tokens into actors."""

    def __init__(self, issuer: TokenIssuer, bridge: Bridge, max_age: float) -> None:
        self._issuer = issuer
        self._bridge = bridge
        self._max_age = max_age
        self._known: dict[int, _Known] = {}
        self._claims: dict[str, AccessClaims] = {}

    def claims(self, token: str) -> AccessClaims:
        """Check a token by itself, without asking whether its session still lives.

        A signature that was good stays good, so it is checked once; that the token has not expired, every time.
        """
        claims = self._claims.get(token)
        if claims is None or (claims.expires_at is not None and claims.expires_at <= time.time()):
            read = self._issuer.read_personal_token if is_personal(token) else self._issuer.read_access_token
            claims = read(token)
            _make_room(self._claims)
            self._claims[token] = claims
        return claims

    async def actor(self, claims: AccessClaims) -> Actor:
        """Tell who acts with these claims.

        Raises:
            Unauthenticated: with code `session_revoked` where the session has ended or the account is disabled.
        """
        known = self._known.get(claims.session_id)
        if known is not None and known.until > time.monotonic():
            return known.actor
        self._known.pop(claims.session_id, None)
        actor = await self._bridge.run(sessions.session_actor, claims.session_id)
        if actor.user_id != claims.user_id:
            raise Unauthenticated(msg("The access token is not valid."), code="token_invalid")
        if actor.scopes is not None:
            await self._bridge.run(personal_tokens.note_use, actor)
        _make_room(self._known)
        self._known[claims.session_id] = _Known(actor, time.monotonic() + self._max_age)
        return actor

    def forget(self, session_ids: Iterable[int]) -> None:
        """Look these sessions up again when they are next seen."""
        for session_id in session_ids:
            self._known.pop(session_id, None)


def _make_room(cache: dict[Any, Any]) -> None:
    """Keep a cache from growing for ever; what is thrown away is only a little work."""
    if len(cache) >= _CACHED:
        cache.clear()


class AuthenticationMiddleware:
    """Reads the bearer token of every request; `req.context.user_id` is the caller's, or None for nobody.

    A bad token is not refused here but where somebody is needed (`require_actor`), since public routes do not mind it.
    """

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    async def process_request(self, req: Request, _resp: Response) -> None:
        """Note who the request says it comes from."""
        self._note_claims(req)

    async def process_request_ws(self, req: Request, _ws: WebSocket) -> None:
        """Note who the handshake says it comes from."""
        self._note_claims(req)

    def _note_claims(self, req: Request) -> None:
        context: Any = req.context
        context.authenticator = self._authenticator
        context.claims = None
        context.user_id = None
        context.claims_failure = None
        token = bearer_token(req)
        if token is None:
            return
        try:
            context.claims = self._authenticator.claims(token)
        except Unauthenticated as failure:
            context.claims_failure = failure
        else:
            context.user_id = context.claims.user_id


def bearer_token(req: Request) -> str | None:
    """The token of the `Authorization` header, where there is one."""
    header: str = req.get_header("Authorization") or ""
    if header[: len(_BEARER)].lower() != _BEARER:
        return None
    return header[len(_BEARER) :].strip() or None


async def require_actor(req: Request) -> Actor:
    """Tell who calls.

    Raises:
        Unauthenticated: where there is no token, a bad one, or one whose session has ended.
    """
    context: Any = req.context
    if context.claims is None:
        raise context.claims_failure or Unauthenticated(msg("An access token is needed."), code="token_missing")
    actor: Actor = await context.authenticator.actor(context.claims)
    # Failures are worded in the language of the caller's profile, so the request keeps the caller.
    context.actor = actor
    return actor


def require_admin(actor: Actor) -> None:
    """Refuse whoever is no admin.

    Raises:
        Forbidden: with code `admin_required`.
    """
    if not may_administer(actor):
        raise Forbidden(msg("This needs an admin."), code="admin_required")


def require_scope(actor: Actor, scope: Scope | None) -> None:
    """Refuse a personal access token that is not for this; somebody who has logged in may do everything.

    Raises:
        Forbidden: with code `scope_missing`, which names the scope, or `login_required` where none would do.
    """
    if actor.scopes is None:
        return
    if scope is None:
        raise Forbidden(msg("This needs a login; a personal access token will not do."), code="login_required")
    if missing_scope(actor, scope):
        raise Forbidden(msg("This token lacks the scope {scope}.", scope=scope.value), code="scope_missing")
