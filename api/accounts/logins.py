"""From a password to tokens: what every way to log in has in common."""

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
"""The address and the program that the request comes from."""


class LoginResource(Resource):
    """Something that gives tokens."""

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self._lifetime = timedelta(days=self.settings.refresh_token_days)
        # Made now, since made at the first unknown name it would show in the time of that response.
        login.dummy_password_hash(self.settings.bcrypt_rounds)

    async def log_in(self, resp: Response, identifier: str, password: str, client: Client) -> dict[str, Any]:
        """Return the tokens of a new session, if the name and the password belong together."""
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
    """Take the cookie back where a session has ended."""
    resp.unset_cookie(REFRESH_COOKIE, path="/", same_site="Strict")
