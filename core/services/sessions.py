"""Sessions: every access token, every series of refresh tokens and every open WebSocket belongs to one.

A session ends when it expires, by logout, or when an old refresh token is used a second time. Its end is recorded as an
event, so every process receives it from the stream, refuses the session's tokens and closes its WebSockets.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
from peewee import fn

from core import events
from core.db import connected, read, unit_of_work, write
from core.errors import NotFound, Unauthenticated
from core.messages import msg
from core.models.account import Session, Ticket, User
from core.policy import Actor, Role
from core.representations import Listing
from core.security import random_token, token_hash
from core.services import audit

# In this time the previous refresh token gives the same new token again, since the first response may have been lost.
_ROTATION_GRACE: Final = timedelta(seconds=10)

_SESSION_STATES = """
SELECT s.id, u.id, u.role, s.scopes, u.locale, u.timezone FROM sessions s JOIN users u ON u.id = s.user_id
WHERE s.id = ANY(%(session_ids)s) AND u.is_active AND s.revoked_at IS NULL AND s.expires_at > now()
"""

_REDEEM_TICKET = """
DELETE FROM ws_tickets WHERE ticket_hash = %(ticket_hash)s RETURNING session_id, expires_at > now(), token_expires_at
"""


@dataclass(frozen=True, slots=True)
class Client:
    """The address and the program of a login, as shown in the list of sessions."""

    ip_address: str
    user_agent: str | None


@dataclass(frozen=True, slots=True)
class Grant:
    """The data of a session for which tokens are made; `profile` is the account's profile as JSON."""

    user_id: int
    session_id: int
    refresh_counter: int
    expires_at: datetime
    profile: bytes


def open_session(user_id: int, client: Client, lifetime: timedelta) -> Grant:
    """Begin a session for an account whose password has just been checked."""
    with unit_of_work():
        session = Session.create(
            user_id=user_id,
            ip_address=client.ip_address,
            user_agent=client.user_agent,
            expires_at=datetime.now(UTC) + lifetime,
        )
        audit.record(audit.LOGGED_IN, user_id=user_id, session_id=session.id)
        return _grant(session, User.get_by_id(user_id))


def rotate(session_id: int, counter: int) -> Grant:
    """Use refresh token number `counter` of a session; returns the data for the next token.

    If several requests use the same token at the same time, all get the same next token. The use of an older token
    means that somebody else has a copy, so the session is ended.

    Raises:
        Unauthenticated: with code `session_revoked` or `refresh_token_reused`.
    """
    now = datetime.now(UTC)
    with unit_of_work():
        session: Session | None = Session.select().where(Session.id == session_id).for_update().get_or_none()
        user: User | None = None if session is None else User.get_or_none(User.id == session.user_id, User.is_active)
        if session is None or user is None or session.revoked_at is not None or session.expires_at <= now:
            raise session_ended()
        behind = session.refresh_counter - counter
        if behind == 0:
            session.refresh_counter += 1
            session.rotated_at = session.last_used_at = now
            session.save(only=[Session.refresh_counter, Session.rotated_at, Session.last_used_at])
        is_reused = behind not in {0, 1} or (behind == 1 and now - session.rotated_at > _ROTATION_GRACE)
        if is_reused:
            revoke(session.user_id, [session.id])
            audit.record(audit.REFRESH_REUSED, user_id=session.user_id, session_id=session.id)
    # This is raised after the unit of work; inside it would undo the revocation above.
    if is_reused:
        raise Unauthenticated(
            msg("This refresh token was used before; the session is ended."), code="refresh_token_reused"
        )
    return _grant(session, user)


def _grant(session: Session, user: User) -> Grant:
    profile = orjson.dumps(user.profile())
    return Grant(user.id, session.id, session.refresh_counter, session.expires_at, profile)


def session_actor(session_id: int) -> Actor:
    """Return the actor of a session, in one round trip.

    Raises:
        Unauthenticated: with code `session_revoked`, if the session has ended or its account is disabled.
    """
    actor = session_actors([session_id]).get(session_id)
    if actor is None:
        raise session_ended()
    return actor


def session_actors(session_ids: Iterable[int]) -> dict[int, Actor]:
    """Return the actors of these sessions by session id; sessions that have ended are left out."""
    rows = read(_SESSION_STATES, {"session_ids": list(session_ids)}).fetch_all()
    return {
        session_id: Actor(user_id, Role(role), session_id, None if scopes is None else frozenset(scopes), *profile)
        for session_id, user_id, role, scopes, *profile in rows
    }


def list_sessions(actor: Actor) -> Listing:
    """Read the caller's sessions that have not ended, the last used one first."""
    with connected():
        found = (
            active_sessions(actor.user_id)
            .where(Session.scopes.is_null())
            .order_by(Session.last_used_at.desc(), Session.id.desc())
        )
        described = [
            {
                "id": session.id,
                "ip_address": session.ip_address,
                "user_agent": session.user_agent,
                "created_at": session.created_at,
                "last_used_at": session.last_used_at,
                "expires_at": session.expires_at,
                "current": session.id == actor.session_id,
            }
            for session in found
        ]
    return Listing(orjson.dumps(described).decode())


def revoke_session(actor: Actor, session_id: int) -> None:
    """End one of the caller's own sessions."""
    with unit_of_work():
        if not active_sessions(actor.user_id).where(Session.id == session_id, Session.scopes.is_null()).exists():
            raise NotFound(msg("There is no such session."), code="session_not_found")
        revoke(actor.user_id, [session_id])
        audit.record(audit.SESSIONS_ENDED, user_id=actor.user_id, session_ids=[session_id])


def revoke_sessions(user_id: int, *, but: int | None = None) -> list[int]:
    """End all sessions of an account except `but`, in the running unit of work; returns their ids.

    This includes the sessions of personal access tokens.
    """
    ids = [session.id for session in active_sessions(user_id) if session.id != but]
    revoke(user_id, ids)
    return ids


def logout_everywhere(actor: Actor) -> list[int]:
    """End all sessions of the caller; returns their ids."""
    with unit_of_work():
        ended = revoke_sessions(actor.user_id)
        audit.record(audit.SESSIONS_ENDED, user_id=actor.user_id, session_ids=ended)
        return ended


def issue_ticket(actor: Actor, lifetime: timedelta, token_expires_at: datetime | None) -> str:
    """Make a single-use ticket with which the caller's session may open one WebSocket.

    `token_expires_at` is when the caller's access token expires, or None if it does not.
    """
    ticket = random_token()
    with unit_of_work():
        expires_at = datetime.now(UTC) + lifetime
        Ticket.create(
            ticket_hash=token_hash(ticket),
            session_id=actor.session_id,
            expires_at=expires_at,
            token_expires_at=token_expires_at,
        )
    return ticket


def redeem_ticket(ticket: str) -> tuple[Actor, datetime | None]:
    """Use a ticket, which can be used only once; returns the actor of its session, and when the access token expires.

    Raises:
        Unauthenticated: if the ticket is unknown, used or too old, or its session has ended.
    """
    with unit_of_work():
        row = write(_REDEEM_TICKET, {"ticket_hash": token_hash(ticket)}).fetch_one()
    if row is None or not row[1]:
        raise Unauthenticated(msg("The ticket is not valid."), code="ticket_invalid")
    return session_actor(row[0]), row[2]


def active_sessions(user_id: int) -> Any:
    """Return the query of an account's sessions that have not ended."""
    return Session.select().where(
        Session.user_id == user_id, Session.revoked_at.is_null(), Session.expires_at > fn.now()
    )


def revoke(user_id: int, session_ids: Iterable[int]) -> None:
    """End sessions and record the event that informs every process, in the running unit of work."""
    ids = list(session_ids)
    if ids:
        Session.update(revoked_at=datetime.now(UTC)).where(Session.id.in_(ids)).execute()
        events.record(events.SESSIONS_REVOKED, audience=[user_id], data={"user_id": user_id, "session_ids": ids})


def session_ended() -> Unauthenticated:
    """Return the failure for a valid token whose session or account does not exist any more."""
    return Unauthenticated(msg("The session behind this token has ended."), code="session_revoked")
