"""Accounts: register, log in and out, one's profile and sessions."""

from datetime import timedelta
from typing import Any

import orjson
from falcon.asgi import Request, Response

from api.accounts.schemas import (
    Login,
    LoginForm,
    Profile,
    ProfileChange,
    RefreshRequest,
    Registration,
    SessionInfo,
    TokenGrant,
)
from api.http.auth import Authenticator
from api.http.operation import document
from api.http.origins import is_allowed_origin
from api.http.threads import Bridge
from core import security
from core.config import Settings
from core.errors import FieldError, Forbidden, Invalid, Unauthenticated
from core.messages import msg
from core.passwords import weakness
from core.policy import Actor
from core.security import TokenIssuer
from core.services import accounts, login_throttle, sessions
from core.services.sessions import Client, Grant

_USER_AGENT_LENGTH = 400


class Register:
    """Where accounts are made."""

    def __init__(self, bridge: Bridge, bcrypt_rounds: int) -> None:
        self._bridge = bridge
        self._rounds = bcrypt_rounds

    @document(
        summary="Register an account",
        body=Registration,
        answer=(201, Profile),
        errors=(400,),
        tag="accounts",
        public=True,
    )
    async def on_post(self, req: Request, resp: Response) -> None:
        """Create an account; anybody may."""
        body: Registration = req.context.json
        profile = await self.register(body.username or body.email, body.email, body.full_name, body.password)
        resp.status = 201
        resp.data = orjson.dumps(profile)

    async def register(
        self, username: str | None, email: str | None, full_name: str | None, password: str
    ) -> dict[str, Any]:
        """Make the account and answer its profile."""
        password_hash = await self._bridge.run_bcrypt(security.hash_password, password, self._rounds)
        return await self._bridge.run(
            accounts.register, username=username, email=email, full_name=full_name, password_hash=password_hash
        )


class TokenGranter:
    """Writes the answer of a login or a refresh: the tokens of a session, and its account."""

    def __init__(self, issuer: TokenIssuer, *, secure_cookie: bool) -> None:
        self._issuer = issuer
        self._secure_cookie = secure_cookie

    def grant(self, resp: Response, grant: Grant) -> None:
        """Answer with both tokens, the refresh token also as a cookie that scripts cannot read."""
        refresh_token = self._issuer.refresh_token(grant.session_id, grant.refresh_counter)
        resp.set_cookie(
            REFRESH_COOKIE,
            refresh_token,
            expires=grant.expires_at,
            path="/",
            secure=self._secure_cookie,
            http_only=True,
            same_site="Strict",
        )
        resp.set_header("Cache-Control", "no-store")
        resp.data = orjson.dumps(
            {
                "access_token": self._issuer.access_token(grant.profile["id"], grant.session_id),
                "refresh_token": refresh_token,
                "token_type": "bearer",
                "expires_in": self._issuer.access_token_seconds,
                "user": grant.profile,
            }
        )


REFRESH_COOKIE = "refresh_token"


class LogIn:
    """Where a password becomes tokens."""

    def __init__(self, bridge: Bridge, granter: TokenGranter, settings: Settings) -> None:
        self._bridge = bridge
        self._granter = granter
        self._lifetime = timedelta(days=settings.refresh_token_days)
        # An unknown name costs the same time as a wrong password, so the answer does not tell which it was.
        self._nobodys_hash = security.hash_password(security.random_token(), settings.bcrypt_rounds)

    @document(
        summary="Log in",
        description="Takes JSON, or the form of the OAuth 2 password flow. The username may be the email.",
        body=Login,
        form=LoginForm,
        answer=(200, TokenGrant),
        errors=(401,),
        tag="accounts",
        public=True,
    )
    async def on_post(self, req: Request, resp: Response) -> None:
        """Check a password and begin a session."""
        await self.log_in(req, resp, req.context.json)

    async def log_in(self, req: Request, resp: Response, body: Login | LoginForm) -> None:
        """Answer with the tokens of a new session, if the name and the password belong together."""
        credentials = await self._bridge.run(accounts.find_credentials, body.identifier)
        user_id = None if credentials is None else credentials.user_id
        address = req.context.client_address
        await self._bridge.run(login_throttle.count_attempt, body.identifier, address, user_id)
        password_hash = self._nobodys_hash if credentials is None else credentials.password_hash
        matches = await self._bridge.run_bcrypt(security.verify_password, body.password, password_hash)
        if credentials is None or not matches or not credentials.is_active:
            await self._bridge.run(accounts.note_failed_login, user_id)
            raise Unauthenticated(msg("The name or the password is wrong."), code="invalid_credentials")
        await self._bridge.run(login_throttle.forgive, body.identifier, address, credentials.user_id)
        user_agent = req.user_agent
        client = Client(
            ip_address=address,
            user_agent=None if user_agent is None else user_agent[:_USER_AGENT_LENGTH],
        )
        grant = await self._bridge.run(sessions.open_session, credentials.user_id, client, self._lifetime)
        self._granter.grant(resp, grant)


class Refresh:
    """Where a refresh token becomes the next pair of tokens."""

    def __init__(
        self, bridge: Bridge, granter: TokenGranter, issuer: TokenIssuer, allowed_origins: tuple[str, ...]
    ) -> None:
        self._bridge = bridge
        self._granter = granter
        self._issuer = issuer
        self._allowed_origins = frozenset(allowed_origins)

    @document(
        summary="Refresh the tokens",
        description="The refresh token comes in the body or in the cookie, and is used up: keep the new one. "
        "A token used a second time ends its session.",
        body=RefreshRequest,
        body_optional=True,
        errors=(401, 403),
        answer=(200, TokenGrant),
        tag="accounts",
        public=True,
    )
    async def on_post(self, req: Request, resp: Response) -> None:
        """Rotate a refresh token."""
        body: RefreshRequest = req.context.json
        token = body.refresh_token or self._cookie(req)
        if token is None:
            raise Unauthenticated(msg("A refresh token is needed."), code="refresh_token_missing")
        session_id, counter = self._issuer.read_refresh_token(token)
        self._granter.grant(resp, await self._bridge.run(sessions.rotate, session_id, counter))

    def _cookie(self, req: Request) -> str | None:
        """The token of the cookie, which a browser sends along whoever made it ask; so the asker's origin counts."""
        token = req.cookies.get(REFRESH_COOKIE)
        if token is not None and not is_allowed_origin(req, self._allowed_origins):
            raise Forbidden(msg("This origin may not use the cookie."), code="origin_not_allowed")
        return token


class LogOut:
    """Where sessions end."""

    def __init__(self, bridge: Bridge, authenticator: Authenticator) -> None:
        self._bridge = bridge
        self._authenticator = authenticator

    @document(summary="Log out", answer=(204, None), tag="accounts")
    async def on_post(self, req: Request, resp: Response) -> None:
        """End the session of this token."""
        actor = req.context.actor
        await self._bridge.run(sessions.revoke_session, actor, actor.session_id)
        self._authenticator.forget([actor.session_id])
        leave(resp)

    @document(summary="Log out everywhere", answer=(204, None), tag="accounts")
    async def on_post_all(self, req: Request, resp: Response) -> None:
        """End all sessions of the caller."""
        actor = req.context.actor
        self._authenticator.forget(await self._bridge.run(sessions.logout_everywhere, actor))
        leave(resp)


def leave(resp: Response) -> None:
    """Answer that the session is over, and take the cookie back."""
    resp.unset_cookie(REFRESH_COOKIE, path="/", same_site="Strict")
    resp.status = 204


class SessionCollection:
    """The caller's sessions."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    @document(summary="List one's sessions", answer=(200, list[SessionInfo]), tag="accounts")
    async def on_get(self, req: Request, resp: Response) -> None:
        """Answer the living sessions."""
        actor = req.context.actor
        resp.data = orjson.dumps(await self._bridge.run(sessions.list_sessions, actor))

    @document(summary="List one's sessions (by POST)", answer=(200, list[SessionInfo]), tag="accounts")
    async def on_post(self, req: Request, resp: Response) -> None:
        """Answer the same as GET, for clients that ask so."""
        await self.on_get(req, resp)


class SessionItem:
    """One of the caller's sessions."""

    def __init__(self, bridge: Bridge, authenticator: Authenticator) -> None:
        self._bridge = bridge
        self._authenticator = authenticator

    @document(summary="End a session", answer=(204, None), errors=(404,), tag="accounts")
    async def on_delete(self, req: Request, resp: Response, session_id: int) -> None:
        """End one session."""
        actor = req.context.actor
        await self._bridge.run(sessions.revoke_session, actor, session_id)
        self._authenticator.forget([session_id])
        resp.status = 204


async def require_current_password(bridge: Bridge, actor: Actor, password: str) -> None:
    """Make sure that it is the account's owner who asks, and not somebody at an open session.

    Raises:
        Invalid: where this is not the caller's password.
    """
    credentials = await bridge.run(accounts.own_credentials, actor)
    if not await bridge.run_bcrypt(security.verify_password, password, credentials.password_hash):
        raise Invalid([FieldError("current_password", msg("is wrong"))])


class Me:
    """The caller's own profile."""

    def __init__(self, bridge: Bridge, authenticator: Authenticator, bcrypt_rounds: int) -> None:
        self._bridge = bridge
        self._authenticator = authenticator
        self._rounds = bcrypt_rounds

    @document(summary="Read one's profile", answer=(200, Profile), tag="accounts")
    async def on_get(self, req: Request, resp: Response) -> None:
        """Answer the caller's profile."""
        actor = req.context.actor
        resp.data = orjson.dumps(await self._bridge.run(accounts.read_profile, actor))

    @document(
        summary="Change one's profile",
        description="A new password needs `current_password`, and ends all other sessions.",
        body=ProfileChange,
        answer=(200, Profile),
        errors=(400,),
        tag="accounts",
    )
    async def on_patch(self, req: Request, resp: Response) -> None:
        """Change the fields that the body names."""
        actor = req.context.actor
        body: ProfileChange = req.context.json
        changes: dict[str, Any] = body.columns()
        if body.password is not None and body.current_password is not None:
            profile = await self._bridge.run(accounts.read_profile, actor) | changes
            names = (profile["username"], profile["email"], profile["full_name"])
            if (problem := weakness(body.password, names)) is not None:
                raise Invalid([FieldError("password", problem)])
            await require_current_password(self._bridge, actor, body.current_password)
            changes["password_hash"] = await self._bridge.run_bcrypt(
                security.hash_password, body.password, self._rounds
            )
        resp.data = orjson.dumps(await self._bridge.run(accounts.update_profile, actor, changes))
        # The session is known with its account's locale.
        self._authenticator.forget([actor.session_id])
