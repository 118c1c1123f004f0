"""The parts that all login routes share: checking a password and issuing tokens."""

from datetime import timedelta
from typing import Annotated, Any, Final

import orjson
from falcon.asgi import Response

from api.http.call import Call, FromRequest
from api.http.resource import Resource, Services
from core import security
from core.services import login
from core.services.sessions import Client, Grant

REFRESH_COOKIE: Final = "refresh_token"
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

    async def log_in(self, resp: Response, identifier: str, password: str, client: Client) -> dict[str, Any]:
        """Check the password, start a session and return its tokens.

        Raises:
            Failure: the errors of `begin_login()` and `finish_login()`, for example for a wrong password.
            Unavailable: with code `overloaded` if too many passwords wait to be checked.
        """
        rounds = self.settings.bcrypt_rounds
        attempt = await self.bridge.run(login.begin_login, identifier, client.ip_address, rounds)
        matches = await self.bridge.run_bcrypt(security.verify_password, password, attempt.password_hash)
        grant = await self.bridge.run(login.finish_login, attempt, client, self._lifetime, matches=matches)
        return self.grant_tokens(resp, grant)

    def grant_tokens(self, resp: Response, grant: Grant) -> dict[str, Any]:
        """Return both tokens, and set the refresh token as a cookie that scripts cannot read."""
        refresh_token = self.issuer.refresh_token(grant.session_id, grant.refresh_counter)
        resp.set_cookie(
            REFRESH_COOKIE,
            refresh_token,
            expires=grant.expires_at,
            path="/",
            secure=not self.settings.is_development,
            http_only=True,
            same_site="Strict",
        )
        resp.set_header("Cache-Control", "no-store")
        return {
            "access_token": self.issuer.access_token(grant.user_id, grant.session_id),
            "refresh_token": refresh_token,
            "token_type": "bearer",
            "expires_in": self.issuer.access_token_seconds,
            "user": orjson.Fragment(grant.profile),
        }


def end_login(resp: Response) -> None:
    """Delete the refresh token cookie after the session has ended."""
    resp.unset_cookie(REFRESH_COOKIE, path="/", same_site="Strict")
