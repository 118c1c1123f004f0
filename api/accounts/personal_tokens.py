"""Personal access tokens: a user who has logged in can create, list and revoke them."""

from datetime import timedelta
from typing import Any, Final

import orjson
from falcon.asgi import Response

from api.accounts.personal_token_schemas import NewToken, TokenInfo, TokenRequest
from api.http.idempotency import Repeatable
from api.http.operation import RateLimit, operation
from api.http.resource import Resource
from api.http.routing import versioned
from core.policy import Actor
from core.representations import Listing
from core.services import personal_tokens


class PersonalTokenCollection(Resource):
    """The caller's tokens."""

    @operation(201, NewToken, tag="accounts")
    async def on_post(self, resp: Response, actor: Actor, body: TokenRequest, request: Repeatable) -> dict[str, Any]:
        """Make a personal access token.

        For programs, with the scopes they need. It is shown this once, and used as a bearer token. If the request is
        repeated with the same `Idempotency-Key`, `token` is null.
        """
        lifetime, quota = timedelta(days=body.expires_in_days), self.settings.tokens_per_user
        outcome = await request.outcome_once(
            self.bridge, personal_tokens.create, actor, body.name, body.scopes, lifetime, quota
        )
        made = outcome.representation
        resp.set_header("Cache-Control", "no-store")
        described: dict[str, Any] = orjson.loads(made.json)
        # Whoever gets hold of a recorded request must not get the token by sending it again.
        token = None if outcome.is_replay else self.issuer.personal_token(actor.user_id, made.id)
        return described | {"token": token}

    @operation(200, list[TokenInfo], tag="accounts")
    async def on_get(self, actor: Actor) -> Listing:
        """List one's personal access tokens."""
        return await self.bridge.run(personal_tokens.list_own, actor)


class PersonalTokenItem(Resource):
    """One of the caller's tokens."""

    @operation(204, tag="accounts", rate_limit=RateLimit.ENDING_SESSIONS, errors=(404,))
    async def on_delete(self, actor: Actor, token_id: int) -> None:
        """Revoke a personal access token."""
        await self.bridge.run(personal_tokens.revoke_own, actor, token_id)
        self.authenticator.forget([token_id])


ROUTES: Final = [
    *versioned("/auth/tokens", PersonalTokenCollection),
    *versioned("/auth/tokens/{token_id:id}", PersonalTokenItem),
]
