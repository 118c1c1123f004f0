"""Mails that wait in the notifications they tell of: sent once, retried, and given up in the end.

A mail is claimed before it is sent: the claim counts the attempt and puts the next one off, so two workers never send
the same mail, and one that dies leaves it to the next attempt. Only a worker that dies between the server's answer and
its own note can make a mail come twice, under the same `Message-ID`.
"""

import random
from typing import Final

import structlog

from core.db import read, unit_of_work, write
from core.mail import Letter, Mailer, MailRefused, MailUndelivered

log = structlog.get_logger()

_LONGEST_WAIT_SECONDS: Final = 3600
_SWEEP_GRACE_SECONDS: Final = 3

_CLAIM = """
UPDATE notifications n SET mail_attempts = mail_attempts + 1,
    mail_next_attempt_at = now() + make_interval(secs => least(
        %(first_wait)s * power(2, mail_attempts), %(longest_wait)s) * %(jitter)s)
FROM users u
WHERE n.id = %(id)s AND n.mail_status = 'pending' AND n.mail_next_attempt_at <= now() AND u.id = n.user_id
RETURNING n.id, n.user_id, u.email, u.locale, u.timezone, n.kind, n.task_id, n.details,
    n.mail_attempts, u.is_active AND u.email IS NOT NULL AND n.kind <> ALL(u.unwanted_mail)
"""

_SETTLE = "UPDATE notifications SET mail_status = %(status)s WHERE id = %(id)s AND mail_status = 'pending'"

_OVERDUE = """
SELECT id FROM notifications
WHERE mail_status = 'pending' AND mail_next_attempt_at <= now() - make_interval(secs => %(grace)s)
ORDER BY mail_next_attempt_at LIMIT %(limit)s
"""

_DISCARD = "UPDATE notifications SET mail_status = NULL WHERE mail_status = 'pending'"

_REVIVE = """
UPDATE notifications SET mail_status = 'pending', mail_attempts = 0, mail_next_attempt_at = now()
WHERE mail_status = 'dead'
"""


def overdue_mails(limit: int) -> list[int]:
    """Up to `limit` notifications whose mail waits although its turn came seconds ago: its job was lost or put off."""
    rows = read(_OVERDUE, {"grace": _SWEEP_GRACE_SECONDS, "limit": limit}).fetch_all()
    return [notification_id for (notification_id,) in rows]


def send_mail(mailer: Mailer, notification_id: int, *, first_wait: float, most_attempts: int) -> None:
    """Send the mail of a notification, if its turn has come and its reader still wants it."""
    parameters = {
        "id": notification_id,
        "first_wait": first_wait,
        "longest_wait": _LONGEST_WAIT_SECONDS,
        "jitter": random.uniform(0.5, 1.0),  # noqa: S311 - this spreads retries, it keeps no secret.
    }
    with unit_of_work():
        row = write(_CLAIM, parameters).fetch_one()
    if row is None:
        return
    *letter, attempts, wanted = row
    if not wanted:
        _settle(notification_id, None)
        return
    try:
        mailer.send(Letter(*letter))
    except MailRefused as refusal:
        _give_up(notification_id, str(refusal))
    except MailUndelivered as delay:
        if attempts >= most_attempts:
            _give_up(notification_id, str(delay))
        else:
            log.warning("mail_put_off", notification_id=notification_id, reason=str(delay))
    else:
        _settle(notification_id, "sent")
        log.info("mail_sent", notification_id=notification_id)


def discard_mails() -> None:
    """Forget the mails that wait, where there is no server that could take them."""
    with unit_of_work():
        write(_DISCARD)


def revive_mails() -> int:
    """Try the mails that were given up once more, from the beginning; answers how many."""
    with unit_of_work():
        revived: int = write(_REVIVE).count
    return revived


def _give_up(notification_id: int, reason: str) -> None:
    _settle(notification_id, "dead")
    log.error("mail_given_up", notification_id=notification_id, reason=reason)


def _settle(notification_id: int, status: str | None) -> None:
    with unit_of_work():
        write(_SETTLE, {"id": notification_id, "status": status})
