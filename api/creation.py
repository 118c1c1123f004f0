"""Requests that create something: their answer, and the key that makes them safe to repeat."""

import hashlib
import re
from collections.abc import Callable
from typing import Any, Final

from falcon.asgi import Request, Response

from api.bridge import Bridge
from core.documents import Document
from core.errors import FieldError, Invalid
from core.messages import msg
from core.services import idempotency
from core.services.idempotency import Claim

VERSION_PREFIX: Final = "/api/v1"

_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)


async def create(
    bridge: Bridge, req: Request, resp: Response, function: Callable[..., Document], *args: Any
) -> Document:
    """Create what `function(*args)` does, once for an `Idempotency-Key`, and answer 201 with its address."""
    document = await run_once(bridge, req, resp, function, *args)
    resp.status = 201
    resp.location = f"{req.path}/{document.id}"
    resp.data = document.json.encode()
    return document


async def run_once(
    bridge: Bridge, req: Request, resp: Response, function: Callable[..., Document], *args: Any
) -> Document:
    """Run `function(*args)`, or where the request repeats one of the same key, answer what came of that one."""
    key = req.get_header("Idempotency-Key")
    if key is None:
        return await bridge.run(function, *args)
    if not _KEY.fullmatch(key):
        raise Invalid([FieldError("Idempotency-Key", msg("must be 1 to 255 visible ASCII characters"))])
    body = req.context.json.model_dump_json()
    claim = Claim(
        user_id=req.context.actor.user_id,
        route=f"{req.method} {req.path.removeprefix(VERSION_PREFIX)}",
        key=key,
        fingerprint=hashlib.sha256(body.encode()).digest(),
    )
    outcome = await bridge.run(idempotency.once, claim, function, *args)
    if outcome.is_replay:
        resp.set_header("Idempotency-Replayed", "true")
    return outcome.document
