"""Authentication: finds the caller of a request from its access token and the session that the token belongs to.

The signature of a token is checked in the event loop. A small cache holds the callers of valid sessions: a session is
read from the database when it is first used, and again when its cache entry is `max_age` seconds old. When a session
is revoked, an event in the Redis stream removes the entry from the cache of every process. Without Redis, the
revocation takes effect when the entry is too old.

Sessions that have ended are remembered for the same time, so that requests with a revoked token cost no query each.
"""

import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from falcon.asgi import Request, Response, WebSocket
from peewee import InterfaceError, OperationalError

from api.http.threads import Bridge
from core.errors import Failure, Forbidden, Unauthenticated
from core.messages import msg
from core.policy import Actor, Scope, may_administer, missing_scope
from core.security import AccessClaims, TokenIssuer, is_personal
from core.services import personal_tokens, sessions

_MAX_CACHE_ENTRIES = 50_000
_BEARER = "bearer "


@dataclass(frozen=True, slots=True)
class _CachedActor:
    """What is known of a session until a time of the monotonic clock: its caller, or None if it has ended."""

    actor: Actor | None
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
        if cached is None or cached.until <= time.monotonic():
            cached = await self._read(claims.session_id)
        if cached.actor is None:
            raise sessions.session_ended()
        if cached.actor.user_id != claims.user_id:
            raise Unauthenticated(msg("The access token is not valid."), code="token_invalid")
        return cached.actor

    async def _read(self, session_id: int) -> _CachedActor:
        """Read a session from the database into the cache."""
        self._cached_actors.pop(session_id, None)
        actor: Actor | None = None
        with suppress(Unauthenticated):
            actor = await self._bridge.run(sessions.session_actor, session_id)
        if actor is not None and actor.scopes is not None:
            await self._bridge.run(personal_tokens.note_use, actor)
        _make_room(self._cached_actors)
        self._cached_actors[session_id] = _CachedActor(actor, time.monotonic() + self._max_age)
        return self._cached_actors[session_id]

    def forget(self, session_ids: Iterable[int]) -> None:
        """Remove these sessions from the cache, so that their next use reads them from the database."""
        for session_id in session_ids:
            self._cached_actors.pop(session_id, None)


def _make_room(cache: dict[Any, Any]) -> None:
    """Clear a full cache, so that it cannot grow without a limit. Its entries can be made again."""
    if len(cache) >= _MAX_CACHE_ENTRIES:
        cache.clear()


class AuthenticationMiddleware:
    """Reads the bearer token of every request.

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
        context.actor = None
        token = bearer_token(req)
        if token is None:
            return
        try:
            context.claims = self._authenticator.claims(token)
        except Unauthenticated as failure:
            context.claims_failure = failure


def bearer_token(req: Request) -> str | None:
    """Return the bearer token of the `Authorization` header, or None."""
    header: str = req.get_header("Authorization") or ""
    if header[: len(_BEARER)].lower() != _BEARER:
        return None
    return header[len(_BEARER) :].strip() or None


async def find_actor(req: Request) -> Actor | None:
    """Return the caller of a request, or None if there is no valid token or its session has ended.

    If the database cannot be reached, the caller is not known either. `require_actor` raises the reason later.
    """
    context: Any = req.context
    if context.claims is None:
        return None
    try:
        # The language of error texts depends on the caller's profile (`api.http.languages`).
        context.actor = await context.authenticator.actor(context.claims)
    except (Failure, OperationalError, InterfaceError) as failure:
        context.claims = None
        context.claims_failure = failure
        return None
    context.user_id = context.actor.user_id
    actor: Actor = context.actor
    return actor


async def require_actor(req: Request) -> Actor:
    """Return the caller of a request.

    Raises:
        Unauthenticated: if the token is missing or bad, or if its session has ended.
    """
    context: Any = req.context
    actor: Actor | None = context.actor or await find_actor(req)
    if actor is None:
        raise context.claims_failure or Unauthenticated(msg("An access token is needed."), code="token_missing")
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
