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

_LOGIN_FAILURES = """
DELETE FROM login_failures WHERE subject IN (
    SELECT subject FROM login_failures WHERE failed_at < now() - interval '1 day'
    LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
"""

_IDEMPOTENCY_KEYS = """
DELETE FROM idempotency_keys WHERE (user_id, route, key) IN (
    SELECT user_id, route, key FROM idempotency_keys WHERE created_at < now() - interval '24 hours'
    LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
"""

# Events are dated when they are recorded and numbered after they are committed, so an older one may have a higher
# number. They go from the lowest number up to the first that is kept, so that what is kept has no holes, and only if
# they have been published and turned into jobs.
_FIRST_KEPT_EVENT = """
SELECT least(jobs_seq + 1, (SELECT seq FROM events
    WHERE seq IS NOT NULL AND at >= now() - make_interval(days => %(days)s) ORDER BY seq LIMIT 1))
FROM event_log_state
"""

_EVENTS = """
DELETE FROM events WHERE seq IN (
    SELECT seq FROM events WHERE seq < %(first_kept)s ORDER BY seq LIMIT %(limit)s FOR UPDATE)
"""


def purge_tokens() -> dict[str, int]:
    """Remove tickets that nobody used in time, sessions that have ended, and what counts no more.

    Answers how many of each.
    """
    return {
        "tickets": _in_batches(_TICKETS),
        "sessions": _in_batches(_SESSIONS),
        "login_failures": _in_batches(_LOGIN_FAILURES),
        "idempotency_keys": _in_batches(_IDEMPOTENCY_KEYS),
    }


def purge_events(retention_days: int) -> int:
    """Remove events older than `retention_days` and answer how many; listeners that far behind must resynchronize."""
    (first_kept,) = execute(_FIRST_KEPT_EVENT, {"days": retention_days}).fetchone()
    return _in_batches(_EVENTS, first_kept=first_kept)


def _in_batches(sql: str, **parameters: Any) -> int:
    total = 0
    while True:
        with unit_of_work():
            deleted: int = execute(sql, parameters | {"limit": _BATCH}).rowcount
        total += deleted
        if deleted < _BATCH:
            return total
