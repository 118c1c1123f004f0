"""Create a thing only once, even if its request is repeated with the same key.

The thing and its key are stored in the same transaction, so there is never one without the other: neither after a crash
nor while Redis is down.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ParamSpec

from core.db import read, unit_of_work, write
from core.errors import Conflict
from core.messages import msg
from core.representations import Representation
from core.rows import Row

_LOCK = "SELECT pg_try_advisory_xact_lock(hashtextextended(%(name)s, 0))"

_FIND = """
SELECT created_id, version, document, fingerprint FROM idempotency_keys
WHERE user_id = %(user_id)s AND route = %(route)s AND key = %(key)s AND created_at > now() - interval '24 hours'
"""

_KEEP = """
INSERT INTO idempotency_keys (user_id, route, key, fingerprint, created_id, version, document)
VALUES (%(user_id)s, %(route)s, %(key)s, %(fingerprint)s, %(created_id)s, %(version)s, %(document)s)
ON CONFLICT (user_id, route, key) DO UPDATE SET fingerprint = excluded.fingerprint, created_id = excluded.created_id,
    version = excluded.version, document = excluded.document, created_at = now()
"""


_Parameters = ParamSpec("_Parameters")


class KeyReused(Conflict):
    """The key was used before for a different request."""

    code = "idempotency_key_reused"


@dataclass(frozen=True, slots=True)
class Claim:
    """The user, the route and the key of a request, and a digest of its content."""

    user_id: int
    route: str
    key: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was created for a claim; `is_replay` is true if an earlier request created it."""

    representation: Representation
    is_replay: bool


def is_known(claim: Claim) -> bool:
    """Whether a request with this user, route and key was carried out in the last 24 hours, whatever its content."""
    return _kept(claim) is not None


def find(claim: Claim) -> Outcome | None:
    """Return what was created for the claim in the last 24 hours, or None.

    Raises:
        KeyReused: if the key was used before for a different request.
    """
    kept = _kept(claim)
    if kept is None:
        return None
    created_id, version, document, fingerprint = kept
    if bytes(fingerprint) != claim.fingerprint:
        raise KeyReused(msg("came with another request before"))
    return Outcome(Representation(created_id, document, version), is_replay=True)


def once(
    claim: Claim,
    create: Callable[_Parameters, Representation],
    /,
    *args: _Parameters.args,
    **kwargs: _Parameters.kwargs,
) -> Outcome:
    """Call `create` with the other arguments, or return what it returned for the same claim in the last 24 hours.

    If the call fails, nothing is stored, and the client may retry with the same key.

    Raises:
        Conflict: with code `idempotency_key_in_use`, while another request with this key is running.
        KeyReused: if the key was used before for a different request.
    """
    with unit_of_work():
        locked = read(_LOCK, {"name": f"{claim.user_id} {claim.route} {claim.key}"}).fetch_value()
        if not locked:
            raise Conflict(msg("A request with this key is being served."), code="idempotency_key_in_use")
        earlier = find(claim)
        if earlier is not None:
            return earlier
        made = create(*args, **kwargs)
        values = {"fingerprint": claim.fingerprint, "created_id": made.id, "version": made.version}
        write(_KEEP, _identity(claim) | values | {"document": made.json})
    return Outcome(made, is_replay=False)


def _kept(claim: Claim) -> Row | None:
    return read(_FIND, _identity(claim)).fetch_one()


def _identity(claim: Claim) -> dict[str, Any]:
    return {"user_id": claim.user_id, "route": claim.route, "key": claim.key}
