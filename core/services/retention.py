"""Remove what has had its time, in batches small enough not to be in anybody's way."""

from typing import Any, Final

from core.db import read, unit_of_work, write

_BATCH: Final = 1000

# A batch is chosen in a WITH, which runs once; a subquery PostgreSQL may run anew for each row, and so without bound.
_TICKETS = """
WITH batch AS (
    SELECT ticket_hash FROM ws_tickets WHERE expires_at < now() LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
DELETE FROM ws_tickets t USING batch WHERE t.ticket_hash = batch.ticket_hash
"""

# A revoked session is kept for a day: replayed tokens of it are still recognised as such.
_SESSIONS = """
WITH batch AS (
    SELECT id FROM sessions WHERE expires_at < now() OR revoked_at < now() - interval '1 day'
    LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
DELETE FROM sessions s USING batch WHERE s.id = batch.id
"""

_LOGIN_FAILURES = """
WITH batch AS (
    SELECT subject FROM login_failures WHERE failed_at < now() - interval '1 day'
    LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
DELETE FROM login_failures f USING batch WHERE f.subject = batch.subject
"""

_IDEMPOTENCY_KEYS = """
WITH batch AS (
    SELECT user_id, route, key FROM idempotency_keys WHERE created_at < now() - interval '24 hours'
    LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
DELETE FROM idempotency_keys k USING batch
WHERE (k.user_id, k.route, k.key) = (batch.user_id, batch.route, batch.key)
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
WITH batch AS (SELECT seq FROM events WHERE seq < %(first_kept)s ORDER BY seq LIMIT %(limit)s FOR UPDATE)
DELETE FROM events e USING batch WHERE e.seq = batch.seq
"""


_NOTIFICATIONS = """
WITH batch AS (
    SELECT id FROM notifications
    WHERE created_at < now() - make_interval(days => %(days)s) AND mail_status IS DISTINCT FROM 'pending'
    LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
DELETE FROM notifications n USING batch WHERE n.id = batch.id
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
    first_kept = read(_FIRST_KEPT_EVENT, {"days": retention_days}).fetch_value()
    return _in_batches(_EVENTS, first_kept=first_kept)


def purge_notifications(retention_days: int) -> int:
    """Remove notifications older than `retention_days`, read or not, and answer how many."""
    return _in_batches(_NOTIFICATIONS, days=retention_days)


def _in_batches(sql: str, **parameters: Any) -> int:
    total = 0
    while True:
        with unit_of_work():
            deleted: int = write(sql, parameters | {"limit": _BATCH}).count
        total += deleted
        if deleted < _BATCH:
            return total
