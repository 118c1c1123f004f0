"""Accounts: registration, login and logout, and the caller's profile and sessions."""

from typing import Any, Final

from falcon.asgi import Request, Response

from api.accounts.logins import CallingClient, LoginResource, end_login, refresh_cookie_of
from api.accounts.passwords import confirmed_password
from api.accounts.registration import RegistrationResource
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
from api.http.bodies import ANONYMOUS_BODY_BYTES
from api.http.languages import ReaderLanguage
from api.http.operation import RateLimit, operation
from api.http.origins import is_allowed_origin
from api.http.resource import Resource
from api.http.routing import both, unversioned, versioned
from core import security
from core.errors import Forbidden, Unauthenticated
from core.messages import msg
from core.policy import Actor
from core.representations import Listing, Representation
from core.services import accounts, sessions

_registration = operation(
    201,
    Profile,
    tag="accounts",
    public=True,
    max_body=ANONYMOUS_BODY_BYTES,
    rate_limit=RateLimit.CREDENTIALS,
    errors=(400, 403),
)


class Register(RegistrationResource):
    """The registration of accounts. Without the prefix a common password is accepted too, as earlier clients need."""

    @_registration
    async def on_post(self, body: Registration, language: ReaderLanguage) -> Representation:
        """Register an account."""
        return await self._register(body, language)

    @_registration
    async def on_post_earlier(self, body: Registration, language: ReaderLanguage) -> Representation:
        """Register an account, with any password of at least 8 characters."""
        return await self._register(body, language, accepts_weak_password=True)

    async def _register(
        self, body: Registration, language: str, *, accepts_weak_password: bool = False
    ) -> Representation:
        return await self.register(
            username=body.required_username,
            email=body.email,
            full_name=body.full_name,
            password=body.password,
            language=language,
            invitation=body.invitation,
            accepts_weak_password=accepts_weak_password,
        )


class LogIn(LoginResource):
    """The login."""

    @operation(
        200,
        TokenGrant,
        tag="accounts",
        public=True,
        max_body=ANONYMOUS_BODY_BYTES,
        rate_limit=RateLimit.CREDENTIALS,
        errors=(401,),
    )
    async def on_post(
        self, req: Request, resp: Response, body: Login | LoginForm, client: CallingClient
    ) -> dict[str, Any]:
        """Log in.

        Takes JSON, or the form of the OAuth 2 password flow. The username may be the email.
        """
        return await self.log_in(req, resp, body.identifier, body.password, client)


class Refresh(LoginResource):
    """The exchange of a refresh token for a new pair of tokens."""

    @operation(
        200,
        TokenGrant,
        tag="accounts",
        public=True,
        max_body=ANONYMOUS_BODY_BYTES,
        body_optional=True,
        errors=(401, 403),
    )
    async def on_post(self, req: Request, resp: Response, body: RefreshRequest) -> dict[str, Any]:
        """Refresh the tokens.

        The refresh token comes in the body or in the cookie, and is used up: keep the new one. A token used a second
        time ends its session.
        """
        token = body.refresh_token or self._cookie(req)
        if token is None:
            raise Unauthenticated(msg("A refresh token is needed."), code="refresh_token_missing")
        try:
            session_id, counter = self.issuer.read_refresh_token(token)
            return self.grant_tokens(req, resp, await self.bridge.run(sessions.rotate, session_id, counter))
        except Unauthenticated:
            if refresh_cookie_of(req) == token:
                # Otherwise the browser would send this useless cookie again and again.
                end_login(resp)
            raise

    def _cookie(self, req: Request) -> str | None:
        """Return the refresh token from the cookie, or None.

        The origin is checked, because browsers may send the cookie with requests from pages of other origins.

        Raises:
            Forbidden: with code `origin_not_allowed`.
        """
        token = refresh_cookie_of(req)
        if token is not None and not is_allowed_origin(req, self.settings.allowed_origins):
            raise Forbidden(msg("This origin may not use the cookie."), code="origin_not_allowed")
        return token


class LogOut(Resource):
    """The logout from one or all sessions."""

    @operation(204, tag="accounts", rate_limit=RateLimit.ENDING_SESSIONS)
    async def on_post(self, resp: Response, actor: Actor) -> None:
        """Log out."""
        await self.bridge.run(sessions.revoke_session, actor, actor.session_id)
        self.authenticator.forget([actor.session_id])
        end_login(resp)

    @operation(204, tag="accounts", rate_limit=RateLimit.ENDING_SESSIONS)
    async def on_post_all(self, resp: Response, actor: Actor) -> None:
        """Log out everywhere."""
        self.authenticator.forget(await self.bridge.run(sessions.logout_everywhere, actor))
        end_login(resp)


class SessionCollection(Resource):
    """The caller's sessions."""

    @operation(200, list[SessionInfo], tag="accounts")
    async def on_get(self, actor: Actor) -> Listing:
        """List one's sessions."""
        return await self.bridge.run(sessions.list_sessions, actor)

    @operation(200, list[SessionInfo], tag="accounts")
    async def on_post(self, actor: Actor) -> Listing:
        """List one's sessions (by POST)."""
        return await self.bridge.run(sessions.list_sessions, actor)


class SessionItem(Resource):
    """One of the caller's sessions."""

    @operation(204, tag="accounts", rate_limit=RateLimit.ENDING_SESSIONS, errors=(404,))
    async def on_delete(self, actor: Actor, session_id: int) -> None:
        """End a session."""
        await self.bridge.run(sessions.revoke_session, actor, session_id)
        self.authenticator.forget([session_id])


class Me(Resource):
    """The caller's own profile."""

    @operation(200, Profile, tag="accounts")
    async def on_get(self, actor: Actor) -> Representation:
        """Read one's profile."""
        return await self.bridge.run(accounts.read_profile, actor)

    @operation(200, Profile, tag="accounts", errors=(400,))
    async def on_patch(self, actor: Actor, body: ProfileChange, client: CallingClient) -> Representation:
        """Change one's profile.

        A new email or password needs `current_password`. A new password ends all other sessions. If the server sends
        mails, a new email waits as `pending_email` until the link or the code of a mail has confirmed it; the present
        email as the new one withdraws it.
        """
        changes = body.columns()
        if body.password is not None:
            await self.bridge.run(
                accounts.require_strong_own_password, actor, body.password, changes, self.settings.password_min_score
            )
        if body.current_password is None:
            profile = await self.bridge.run(accounts.update_profile, actor, changes, is_confirmed=False)
        else:
            async with confirmed_password(self.bridge, actor, client.ip_address, body.current_password):
                if body.password is not None:
                    changes["password_hash"] = await self.bridge.run_password_work(
                        security.hash_password, body.password, self.settings.bcrypt_rounds
                    )
                profile = await self.bridge.run(
                    accounts.update_profile,
                    actor,
                    changes,
                    is_confirmed=True,
                    verifies_email=self.settings.has_mail_server,
                )
        # The authenticator caches the account's locale and time zone together with the session.
        self.authenticator.forget([actor.session_id])
        return profile


ROUTES: Final = [
    *versioned("/auth/register", Register),
    *unversioned("/auth/register", Register, "earlier"),
    *both("/auth/login", LogIn),
    *both("/auth/refresh", Refresh),
    *both("/auth/logout", LogOut),
    *both("/auth/logout_all", LogOut, "all"),
    *both("/auth/sessions", SessionCollection),
    *both("/auth/sessions/{session_id:id}", SessionItem),
    *both("/auth/me", Me),
    *versioned("/users/me", Me),
    *versioned("/users/about_me", Me),
]
