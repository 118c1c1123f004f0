"""Personal access tokens: programs use them to act for their owner, with limited permissions.

A token belongs to a session with scopes. So everything that ends sessions also ends tokens, and every process is
informed in the same way. The token itself is computed from the id of the session and is not stored.
"""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from core.db import connected, unit_of_work
from core.errors import FieldError, Invalid, NotFound
from core.messages import msg
from core.models.account import Session
from core.policy import Actor, Scope, may_administer
from core.representations import Listing, Representation
from core.services import audit
from core.services.quotas import exceeded, lock_user
from core.services.sessions import active_sessions, revoke, session_actor


def create(actor: Actor, name: str, scopes: Collection[Scope], lifetime: timedelta, quota: int) -> Representation:
    """Make a token for the caller and return its description, which does not contain the token itself.

    Raises:
        Invalid: if a caller who is no admin asks for the scope `admin`.
        TooLarge: if the caller has `quota` tokens that have not ended.
        Unauthenticated: with code `session_revoked`, if the caller's session has ended meanwhile.
    """
    if Scope.ADMIN in scopes and not may_administer(actor):
        raise Invalid([FieldError("scopes", msg("may hold admin only for an admin"))])
    with unit_of_work():
        lock_user(actor)
        # This process may not know yet that the session has ended. A new token would outlive the end of all sessions.
        session_actor(actor.session_id)
        if _own(actor).count() >= quota:
            raise exceeded(msg("You may have at most {quota} tokens. Revoke some.", quota=quota))
        session = Session.create(
            user_id=actor.user_id, name=name, scopes=sorted(set(scopes)), expires_at=datetime.now(UTC) + lifetime
        )
        audit.record(audit.TOKEN_CREATED, user_id=actor.user_id, session_id=session.id, scopes=session.scopes)
        return Representation(session.id, orjson.dumps(_describe(Session.get_by_id(session.id))).decode())


def list_own(actor: Actor) -> Listing:
    """Read the caller's tokens that have not ended, the newest first."""
    with connected():
        found = _own(actor).order_by(Session.id.desc())
        return Listing(orjson.dumps([_describe(session) for session in found]).decode())


def revoke_own(actor: Actor, token_id: int) -> None:
    """End one of the caller's tokens.

    Raises:
        NotFound: if the caller has no such token.
    """
    with unit_of_work():
        if not _own(actor).where(Session.id == token_id).exists():
            raise NotFound(msg("There is no such token."), code="token_not_found")
        revoke(actor.user_id, [token_id])
        audit.record(audit.SESSIONS_ENDED, user_id=actor.user_id, session_ids=[token_id])


def note_use(actor: Actor) -> None:
    """Store when a token was last used, at most once a minute."""
    now = datetime.now(UTC)
    with unit_of_work():
        Session.update(last_used_at=now).where(
            Session.id == actor.session_id,
            (Session.last_used_at == Session.created_at) | (Session.last_used_at < now - timedelta(minutes=1)),
        ).execute()


def _own(actor: Actor) -> Any:
    return active_sessions(actor.user_id).where(Session.scopes.is_null(False))


def _describe(session: Session) -> dict[str, Any]:
    never_used = session.last_used_at == session.created_at
    return {
        "id": session.id,
        "name": session.name,
        "scopes": session.scopes,
        "created_at": session.created_at,
        "expires_at": session.expires_at,
        "last_used_at": None if never_used else session.last_used_at,
    }
