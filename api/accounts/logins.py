"""The parts that all login routes share: checking a password and issuing tokens."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import orjson
from falcon.asgi import Request, Response

from api.http.call import Call, FromRequest
from api.http.origins import is_allowed_origin
from api.http.resource import Resource, Services
from core import security
from core.services import login
from core.services.sessions import Client, Grant

# Browsers accept a cookie with this prefix only over TLS and from this very host. Without it another host of the same
# domain could set a cookie of this name, and so log somebody in to a foreign account.
_REFRESH_COOKIE: Final = "__Host-refresh_token"
# Development has no TLS. In production this was the name before, so it is still read, and deleted with the next tokens.
_PLAIN_REFRESH_COOKIE: Final = "refresh_token"
_LONG_AGO: Final = datetime.fromtimestamp(0, UTC)
_USER_AGENT_LENGTH: Final = 400


def _client_of(call: Call) -> Client:
    user_agent = call.request.user_agent
    return Client(
        ip_address=call.request.context.client_address,
        user_agent=None if user_agent is None else user_agent[:_USER_AGENT_LENGTH],
    )


CallingClient = Annotated[Client, FromRequest(_client_of)]
"""The IP address and the user agent of a request."""


class LoginResource(Resource):
    """The base of resources that issue tokens."""

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self._lifetime = timedelta(days=self.settings.refresh_token_days)
        # This hash is cached now. If it were made for the first login with an unknown name, that response would take
        # longer and so show that there is no such account.
        login.dummy_password_hash(self.settings.bcrypt_rounds)

    async def log_in(
        self, req: Request, resp: Response, identifier: str, password: str, client: Client
    ) -> dict[str, Any]:
        """Check the password, start a session and return its tokens.

        Raises:
            Failure: the errors of `begin_login()` and `finish_login()`, for example for a wrong password.
            Unavailable: with code `overloaded` if too many passwords wait to be checked.
        """
        rounds = self.settings.bcrypt_rounds
        attempt = await self.bridge.run(login.begin_login, identifier, client.ip_address, rounds)
        resp.context.user_id = attempt.user_id  # For the log line of the request, whatever the password is.
        matches = await self.bridge.run_password_work(security.verify_password, password, attempt.password_hash)
        grant = await self.bridge.run(login.finish_login, attempt, client, self._lifetime, matches=matches)
        return self.grant_tokens(req, resp, grant)

    def grant_tokens(self, req: Request, resp: Response, grant: Grant) -> dict[str, Any]:
        """Return both tokens, and set the refresh token as a cookie that scripts cannot read.

        A page of another site could otherwise make a browser send a login, and so log its user in to a foreign account.
        """
        refresh_token = self.issuer.refresh_token(grant.session_id, grant.refresh_counter)
        if is_allowed_origin(req, self.settings.allowed_origins):
            self._set_cookie(resp, refresh_token, grant.expires_at)
        resp.set_header("Cache-Control", "no-store")
        return {
            "access_token": self.issuer.access_token(grant.user_id, grant.session_id),
            "refresh_token": refresh_token,
            "token_type": "bearer",
            "expires_in": self.issuer.access_token_seconds,
            "user": orjson.Fragment(grant.profile),
        }

    def _set_cookie(self, resp: Response, refresh_token: str, expires_at: datetime) -> None:
        is_development = self.settings.is_development
        resp.set_cookie(
            _PLAIN_REFRESH_COOKIE if is_development else _REFRESH_COOKIE,
            refresh_token,
            expires=expires_at,
            path="/",
            secure=not is_development,
            http_only=True,
            same_site="Strict",
        )
        if not is_development:
            _delete_cookie(resp, _PLAIN_REFRESH_COOKIE)


def end_login(resp: Response) -> None:
    """Delete the refresh token cookie, and what the browser has cached, after the session has ended."""
    # Attachments are the only responses with personal data that a browser may cache.
    resp.set_header("Clear-Site-Data", '"cache"')
    for name in (_REFRESH_COOKIE, _PLAIN_REFRESH_COOKIE):
        _delete_cookie(resp, name)


def refresh_cookie_of(request: Request) -> str | None:
    """Return the refresh token that a browser sends as a cookie."""
    return request.cookies.get(_REFRESH_COOKIE) or request.cookies.get(_PLAIN_REFRESH_COOKIE)


def _delete_cookie(resp: Response, name: str) -> None:
    # Browsers ignore the deletion of a cookie with the prefix `__Host-` if it is not `Secure`.
    secure = name == _REFRESH_COOKIE
    resp.set_cookie(name, "", expires=_LONG_AGO, path="/", secure=secure, http_only=True, same_site="Strict")
