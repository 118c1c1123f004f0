"""Idempotency keys: a request with an `Idempotency-Key` may be sent again and is still carried out only once."""

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Annotated, Final, ParamSpec

from falcon.asgi import Response

from api.http.call import Call, FromRequest
from api.http.threads import Bridge
from core.config import API_PREFIX
from core.errors import FieldError, Invalid
from core.messages import msg
from core.representations import Representation
from core.services import idempotency
from core.services.idempotency import Claim, KeyReused, Outcome

_Parameters = ParamSpec("_Parameters")

_HEADER: Final = "Idempotency-Key"
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)


@dataclass(frozen=True, slots=True)
class IdempotentRequest:
    """A request that a client may send again with the same key. Without a key (None) it is carried out each time.

    `content` is a digest of the request body. A request that reuses a key must have the same body.
    """

    user_id: int
    route: str
    key: str | None
    content: bytes
    response: Response

    def step(self, position: int, content: bytes) -> "IdempotentRequest":
        """Return one step of a request whose streamed body is processed in several steps.

        Each step is carried out only once: when the request is sent again, only the missing steps run.

        Args:
            position: Where the step begins in the body; it identifies the step.
            content: The part of the body that the step processes.
        """
        return replace(self, route=f"{self.route} from {position}", content=_digest(content))

    async def run_once(
        self,
        bridge: Bridge,
        function: Callable[_Parameters, Representation],
        *args: _Parameters.args,
        **kwargs: _Parameters.kwargs,
    ) -> Representation:
        """Run a use case, or return the stored result if a request with the same key was carried out before.

        Raises:
            Failure: the errors of `outcome_once()`.
        """
        return (await self.outcome_once(bridge, function, *args, **kwargs)).representation

    async def outcome_once(
        self,
        bridge: Bridge,
        function: Callable[_Parameters, Representation],
        *args: _Parameters.args,
        **kwargs: _Parameters.kwargs,
    ) -> Outcome:
        """Do as `run_once()`, and also return whether the result is the stored one of an earlier request.

        Raises:
            Invalid: with code `idempotency_key_reused` if the key was used for a different request before.
            Conflict: with code `idempotency_key_in_use` while another request with this key is being served.
        """
        if self.key is None:
            return Outcome(await bridge.run(function, *args, **kwargs), is_replay=False)
        claim = Claim(self.user_id, self.route, self.key, self.content)
        with _reuse_as_invalid():
            outcome = await bridge.run(idempotency.once, claim, function, *args, **kwargs)
        return self._noted(outcome)

    async def is_known(self, bridge: Bridge) -> bool:
        """Return whether a request with this key was carried out before. Its content may have been different."""
        if self.key is None:
            return False
        return await bridge.run(idempotency.is_known, Claim(self.user_id, self.route, self.key, self.content))

    async def replay(self, bridge: Bridge) -> Representation | None:
        """Return the stored result if a request with the same key was carried out before, else None.

        Raises:
            Invalid: with code `idempotency_key_reused` if the key was used for a different request before.
        """
        if self.key is None:
            return None
        with _reuse_as_invalid():
            outcome = await bridge.run(idempotency.find, Claim(self.user_id, self.route, self.key, self.content))
        return None if outcome is None else self._noted(outcome).representation

    def _noted(self, outcome: Outcome) -> Outcome:
        """Return the outcome, and say in the response whether it is a stored one."""
        if outcome.is_replay:
            self.response.set_header("Idempotency-Replayed", "true")
        return outcome


@contextmanager
def _reuse_as_invalid() -> Iterator[None]:
    """Report the use of a key for a different request as an invalid header."""
    try:
        yield
    except KeyReused as failure:
        raise Invalid([FieldError(_HEADER, failure.detail)], code=failure.stable_code) from None


def _of_call(call: Call) -> IdempotentRequest:
    if call.actor is None:
        raise TypeError("Only an operation with a caller can be repeated under a key.")
    request = call.request
    key = request.get_header(_HEADER)
    if key is not None and not _KEY.fullmatch(key):
        raise Invalid([FieldError(_HEADER, msg("must be 1 to 255 visible ASCII characters"))])
    # The digest is only needed with a key. For a streamed body, each step makes its own digest.
    content = _digest(call.body.model_dump_json().encode()) if key and hasattr(call.body, "model_dump_json") else b""
    route = f"{request.method} {request.path.removeprefix(API_PREFIX)}"
    return IdempotentRequest(call.actor.user_id, route, key, content, call.response)


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


Repeatable = Annotated[IdempotentRequest, FromRequest(_of_call, headers=(_HEADER,), errors=(409,))]
"""The request with its `Idempotency-Key`, for operations that are carried out only once for each key."""
