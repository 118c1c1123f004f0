"""Personal access tokens: made, listed and revoked by somebody who has logged in."""

from datetime import timedelta

import orjson
from falcon.asgi import Request, Response

from api.accounts.personal_token_schemas import NewToken, TokenInfo, TokenRequest
from api.http.auth import Authenticator
from api.http.idempotency import run_once
from api.http.operation import document
from api.http.threads import Bridge
from core.errors import FieldError, Invalid
from core.messages import msg
from core.policy import Scope
from core.security import TokenIssuer
from core.services import personal_tokens


class PersonalTokenCollection:
    """The caller's tokens."""

    def __init__(self, bridge: Bridge, issuer: TokenIssuer) -> None:
        self._bridge = bridge
        self._issuer = issuer

    @document(
        summary="Make a personal access token",
        description="For programs, with the scopes they need. It is shown this once, and used as a bearer token.",
        body=TokenRequest,
        answer=(201, NewToken),
        idempotent=True,
        tag="accounts",
    )
    async def on_post(self, req: Request, resp: Response) -> None:
        """Make a token."""
        actor = req.context.actor
        body: TokenRequest = req.context.json
        if Scope.ADMIN in body.scopes and not actor.is_admin:
            raise Invalid([FieldError("scopes", msg("may hold admin only for an admin"))])
        lifetime = timedelta(days=body.expires_in_days)
        asked = (body.name, set(body.scopes), lifetime)
        made = await run_once(self._bridge, req, resp, personal_tokens.create, actor, *asked)
        resp.status = 201
        resp.set_header("Cache-Control", "no-store")
        token = {"token": self._issuer.personal_token(actor.user_id, made.id)}
        resp.data = orjson.dumps(orjson.loads(made.json) | token)

    @document(summary="List one's personal access tokens", answer=(200, list[TokenInfo]), tag="accounts")
    async def on_get(self, req: Request, resp: Response) -> None:
        """Answer the living tokens."""
        resp.data = orjson.dumps(await self._bridge.run(personal_tokens.list_own, req.context.actor))


class PersonalTokenItem:
    """One of the caller's tokens."""

    def __init__(self, bridge: Bridge, authenticator: Authenticator) -> None:
        self._bridge = bridge
        self._authenticator = authenticator

    @document(summary="Revoke a personal access token", answer=(204, None), errors=(404,), tag="accounts")
    async def on_delete(self, req: Request, resp: Response, token_id: int) -> None:
        """End a token."""
        await self._bridge.run(personal_tokens.revoke_own, req.context.actor, token_id)
        self._authenticator.forget([token_id])
        resp.status = 204
