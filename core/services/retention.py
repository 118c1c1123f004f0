"""Remove what has had its time, in batches small enough not to be in anybody's way."""

from typing import Any, Final

from core.db import execute, unit_of_work

_BATCH: Final = 1000

_TICKETS = """
DELETE FROM ws_tickets WHERE ticket_hash IN (
    SELECT ticket_hash FROM ws_tickets WHERE expires_at < now() LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
"""

# A revoked session is kept for a day: replayed tokens of it are still recognised as such.
_SESSIONS = """
DELETE FROM sessions WHERE id IN (
    SELECT id FROM sessions WHERE expires_at < now() OR revoked_at < now() - interval '1 day'
    LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
"""

# Only from the oldest end, so that what is kept has no holes, and only what has been published and turned into jobs.
_EVENTS = """
DELETE FROM events WHERE seq IN (
    SELECT seq FROM events
    WHERE seq <= (SELECT jobs_seq FROM event_log_state) AND at < now() - make_interval(days => %(days)s)
    ORDER BY seq LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
"""


def purge_tokens() -> dict[str, int]:
    """Remove tickets that nobody used in time and sessions that have ended; answers how many of each."""
    return {"tickets": _in_batches(_TICKETS), "sessions": _in_batches(_SESSIONS)}


def purge_events(retention_days: int) -> int:
    """Remove events older than `retention_days` and answer how many; listeners that far behind must resynchronize."""
    return _in_batches(_EVENTS, days=retention_days)


def _in_batches(sql: str, **parameters: Any) -> int:
    total = 0
    while True:
        with unit_of_work():
            deleted: int = execute(sql, parameters | {"limit": _BATCH}).rowcount
        total += deleted
        if deleted < _BATCH:
            return total
