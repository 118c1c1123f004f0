"""Request bodies and responses of personal access tokens."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from api.http.fields import Input, Instant
from core.policy import Scope


class TokenRequest(Input):
    """A personal access token to make: what for, and for how many days."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "weekly report", "scopes": ["tasks:read", "analytics:read"]}]}
    )

    name: Annotated[str, Field(min_length=1, max_length=100)]
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=len(Scope))]
    expires_in_days: Annotated[int, Field(ge=1, le=365)] = 90


class TokenInfo(BaseModel):
    """A personal access token; the token itself is not shown again."""

    id: int
    name: str
    scopes: list[Scope]
    created_at: Instant
    expires_at: Instant
    last_used_at: Instant | None


class NewToken(TokenInfo):
    """A personal access token right after it was made, the only time that it is shown.

    The token is null in the response to a request that is repeated with its `Idempotency-Key`.
    """

    token: str | None
