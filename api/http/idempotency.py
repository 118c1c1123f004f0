"""Requests that create something: their answer, and the key that makes them safe to repeat."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from falcon.asgi import Request, Response

from api.http.threads import Bridge
from core.errors import FieldError, Invalid
from core.messages import msg
from core.representations import Representation
from core.services import idempotency
from core.services.idempotency import Claim

VERSION_PREFIX: Final = "/api/v1"

_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Part:
    """One of several steps of a request whose body is streamed: where it begins, and the bytes that it is made of."""

    position: int
    content: bytes


async def create(
    bridge: Bridge,
    req: Request,
    resp: Response,
    function: Callable[..., Representation],
    *args: Any,
    part: Part | None = None,
) -> Representation:
    """Create what `function(*args)` does, once for an `Idempotency-Key`, and answer 201 with its address."""
    document = await run_once(bridge, req, resp, function, *args, part=part)
    resp.status = 201
    resp.location = f"{req.path}/{document.id}"
    resp.data = document.json.encode()
    return document


async def run_once(
    bridge: Bridge,
    req: Request,
    resp: Response,
    function: Callable[..., Representation],
    *args: Any,
    part: Part | None = None,
) -> Representation:
    """Run `function(*args)`, or where the request repeats one of the same key, answer what came of that one.

    A request that takes several steps is repeated step by step: those that were done are not done again.
    """
    key = req.get_header("Idempotency-Key")
    if key is None:
        return await bridge.run(function, *args)
    if not _KEY.fullmatch(key):
        raise Invalid([FieldError("Idempotency-Key", msg("must be 1 to 255 visible ASCII characters"))])
    route = f"{req.method} {req.path.removeprefix(VERSION_PREFIX)}"
    content = req.context.json.model_dump_json().encode() if part is None else part.content
    claim = Claim(
        user_id=req.context.actor.user_id,
        route=route if part is None else f"{route} from {part.position}",
        key=key,
        fingerprint=hashlib.sha256(content).digest(),
    )
    outcome = await bridge.run(idempotency.once, claim, function, *args)
    if outcome.is_replay:
        resp.set_header("Idempotency-Replayed", "true")
    return outcome.document
