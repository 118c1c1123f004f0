"""Authentication: finds the caller of a request from its access token and the session that the token belongs to.

The signature of a token is checked in the event loop. A small cache holds the callers of valid sessions: a session is
read from the database when it is first used, and again when its cache entry is `max_age` seconds old. When a session
is revoked, an event in the Redis stream removes the entry from the cache of every process. Without Redis, the
revocation takes effect when the entry is too old.
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

_MAX_CACHE_ENTRIES = 50_000
_BEARER = "bearer "


@dataclass(frozen=True, slots=True)
class _CachedActor:
    actor: Actor
    until: float


class Authenticator:
    """Checks access tokens and finds their callers."""

    def __init__(self, issuer: TokenIssuer, bridge: Bridge, max_age: float) -> None:
        self._issuer = issuer
        self._bridge = bridge
        self._max_age = max_age
        self._cached_actors: dict[int, _CachedActor] = {}
        self._claims: dict[str, AccessClaims] = {}

    def claims(self, token: str) -> AccessClaims:
        """Check a token's signature and expiry, but not whether its session is still valid.

        A valid signature stays valid, so it is checked only once for each token. The expiry is checked every time.

        Raises:
            Unauthenticated: if the token is not valid or has expired.
        """
        claims = self._claims.get(token)
        if claims is None or (claims.expires_at is not None and claims.expires_at <= time.time()):
            read = self._issuer.read_personal_token if is_personal(token) else self._issuer.read_access_token
            claims = read(token)
            _make_room(self._claims)
            self._claims[token] = claims
        return claims

    async def actor(self, claims: AccessClaims) -> Actor:
        """Return the caller that these claims belong to.

        Raises:
            Unauthenticated: with code `session_revoked` if the session has ended or the account is disabled, or with
                `token_invalid` if the session belongs to another account.
        """
        cached = self._cached_actors.get(claims.session_id)
        if cached is not None and cached.until > time.monotonic():
            return cached.actor
        self._cached_actors.pop(claims.session_id, None)
        actor = await self._bridge.run(sessions.session_actor, claims.session_id)
        if actor.user_id != claims.user_id:
            raise Unauthenticated(msg("The access token is not valid."), code="token_invalid")
        if actor.scopes is not None:
            await self._bridge.run(personal_tokens.note_use, actor)
        _make_room(self._cached_actors)
        self._cached_actors[claims.session_id] = _CachedActor(actor, time.monotonic() + self._max_age)
        return actor

    def forget(self, session_ids: Iterable[int]) -> None:
        """Remove these sessions from the cache, so that their next use reads them from the database."""
        for session_id in session_ids:
            self._cached_actors.pop(session_id, None)


def _make_room(cache: dict[Any, Any]) -> None:
    """Clear a full cache, so that it cannot grow without a limit. Its entries can be made again."""
    if len(cache) >= _MAX_CACHE_ENTRIES:
        cache.clear()


class AuthenticationMiddleware:
    """Reads the bearer token of every request and sets `req.context.user_id`, which is None without a valid token.

    A bad token is refused only by `require_actor`, because public routes accept requests with a bad token.
    """

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    async def process_request(self, req: Request, _resp: Response) -> None:
        """Read the token of a request."""
        self._read_claims(req)

    async def process_request_ws(self, req: Request, _ws: WebSocket) -> None:
        """Read the token of a WebSocket handshake."""
        self._read_claims(req)

    def _read_claims(self, req: Request) -> None:
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
    """Return the bearer token of the `Authorization` header, or None."""
    header: str = req.get_header("Authorization") or ""
    if header[: len(_BEARER)].lower() != _BEARER:
        return None
    return header[len(_BEARER) :].strip() or None


async def require_actor(req: Request) -> Actor:
    """Return the caller of a request.

    Raises:
        Unauthenticated: if the token is missing or bad, or if its session has ended.
    """
    context: Any = req.context
    if context.claims is None:
        raise context.claims_failure or Unauthenticated(msg("An access token is needed."), code="token_missing")
    actor: Actor = await context.authenticator.actor(context.claims)
    # The language of error texts depends on the caller's profile (`api.http.languages`).
    context.actor = actor
    return actor


def require_admin(actor: Actor) -> None:
    """Refuse callers who are not admins.

    Raises:
        Forbidden: with code `admin_required`.
    """
    if not may_administer(actor):
        raise Forbidden(msg("This needs an admin."), code="admin_required")


def require_scope(actor: Actor, scope: Scope | None) -> None:
    """Refuse a personal access token that lacks the scope. A caller who has logged in needs no scope.

    Raises:
        Forbidden: with code `scope_missing`, or with `login_required` if `scope` is None, because then no personal
            access token is accepted.
    """
    if actor.scopes is None:
        return
    if scope is None:
        raise Forbidden(msg("This needs a login; a personal access token will not do."), code="login_required")
    if missing_scope(actor, scope):
        raise Forbidden(msg("This token lacks the scope {scope}.", scope=scope.value), code="scope_missing")
