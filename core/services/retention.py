"""Remove rows that are older than their retention time, in small batches, so that locks are short.

Events are removed by `core.services.event_partitions`.
"""

from typing import Any, Final

from core import jobs
from core.db import unit_of_work, write
from core.jobs import JobContext

_BATCH: Final = 1000

# The batch is selected in a WITH, which runs once. PostgreSQL may run a subquery again for each row, and then the LIMIT
# would not limit the whole statement.
_TICKETS = """
WITH batch AS (
    SELECT ticket_hash FROM ws_tickets WHERE expires_at < now() LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
DELETE FROM ws_tickets t USING batch WHERE t.ticket_hash = batch.ticket_hash
"""

# A revoked session is kept for a day, so that the reuse of its old tokens is still recognized.
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

# A link is kept for a day, so that those who ask for another one can be counted.
_ACCOUNT_LINKS = """
WITH batch AS (
    SELECT id FROM account_links WHERE expires_at < now() - interval '1 day' LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
DELETE FROM account_links l USING batch WHERE l.id = batch.id
"""

_IDEMPOTENCY_KEYS = """
WITH batch AS (
    SELECT user_id, route, key FROM idempotency_keys WHERE created_at < now() - interval '24 hours'
    LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
DELETE FROM idempotency_keys k USING batch
WHERE (k.user_id, k.route, k.key) = (batch.user_id, batch.route, batch.key)
"""

# Whoever has had no turn for a day is treated like somebody who never had one.
_TURNS = """
WITH batch AS (
    SELECT work, user_id FROM turns WHERE taken_at < now() - interval '1 day'
    LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
DELETE FROM turns t USING batch WHERE (t.work, t.user_id) = (batch.work, batch.user_id)
"""


def _mailed_rows(table: str) -> str:
    """Return the statement that removes old rows whose mail, if they have one, does not wait any more."""
    return f"""
WITH batch AS (
    SELECT id FROM {table}
    WHERE created_at < now() - make_interval(days => %(days)s) AND mail_status IS DISTINCT FROM 'pending'
    LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
DELETE FROM {table} removed USING batch WHERE removed.id = batch.id
"""


_NOTIFICATIONS = _mailed_rows("notifications")
_ACCOUNT_MAILS = _mailed_rows("account_mails")

_MAIL_COUNTS = """
WITH batch AS (
    SELECT subject, period_start FROM mail_counts WHERE period_start < now() - interval '2 days'
    LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
DELETE FROM mail_counts m USING batch WHERE (m.subject, m.period_start) = (batch.subject, batch.period_start)
"""

_INVITATIONS = """
WITH batch AS (SELECT id FROM invitations WHERE expires_at < now() LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
DELETE FROM invitations i USING batch WHERE i.id = batch.id
"""

_NEW_PLACES = """
WITH batch AS (
    SELECT user_id, day FROM weather_new_places WHERE day < current_date - 1
    LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
DELETE FROM weather_new_places p USING batch WHERE (p.user_id, p.day) = (batch.user_id, batch.day)
"""

# Two years, so that a season can be compared with that of the year before. The ids rise with the time, so the index of
# the ids finds the oldest rows, and there need not be one of the time.
_WEATHER_OUTCOMES = """
WITH oldest AS (SELECT id, at FROM weather_outcomes ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
DELETE FROM weather_outcomes w USING oldest WHERE w.id = oldest.id AND oldest.at < now() - interval '2 years'
"""


_OF_TOKENS = (
    _TICKETS,
    _SESSIONS,
    _LOGIN_FAILURES,
    _ACCOUNT_LINKS,
    _IDEMPOTENCY_KEYS,
    _INVITATIONS,
    _MAIL_COUNTS,
    _TURNS,
    _NEW_PLACES,
    _WEATHER_OUTCOMES,
)


@jobs.TOKENS_PURGE.work
def purge_tokens(_context: JobContext) -> int:
    """Remove expired tickets, links, invitations and idempotency keys, ended sessions, old turns, and old counts.

    Counts are those of failed logins, of mails and of new places. What the weather did to tasks long ago is
    removed too. Returns how many rows there were.
    """
    return sum(map(_in_batches, _OF_TOKENS))


@jobs.NOTIFICATIONS_PURGE.work
def purge_notifications(context: JobContext) -> int:
    """Remove old notifications, read or not, and old mails about accounts; returns how many there were."""
    days = context.settings.notification_retention_days
    return _in_batches(_NOTIFICATIONS, days=days) + _in_batches(_ACCOUNT_MAILS, days=days)


def _in_batches(sql: str, **parameters: Any) -> int:
    total = 0
    while True:
        with unit_of_work():
            deleted: int = write(sql, parameters | {"limit": _BATCH}).count
        total += deleted
        if deleted < _BATCH:
            return total
