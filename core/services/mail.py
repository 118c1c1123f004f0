"""Mails that wait in the notifications they tell of: composed, sent once, tried again, and given up in the end.

A mail is claimed before it is sent (see `core.retries`), so two workers never send the same one. Only where a worker
dies between the mail server's response and its own note of it is a mail sent twice, under the same `Message-ID`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import parseaddr
from typing import Any, Final
from zoneinfo import ZoneInfo

import orjson
import structlog
from babel.dates import format_date, format_time

from core import jobs
from core.config import Settings
from core.db import read, unit_of_work, write
from core.events import NOTIFICATION_CREATED, Event
from core.jobs import JobContext, JobRequest
from core.links import MailLinks
from core.messages import language_of, msg, translate
from core.retries import Patience, WaitingWork, send_overdue
from core.security import TokenIssuer
from core.services.notifications import text_of
from core.smtp import MailRefused, MailUndelivered

log = structlog.get_logger()

WAITING: Final[WaitingWork[int]] = WaitingWork("notifications", prefix="mail", key="id", given_up="dead")
_LONGEST_WAIT_SECONDS: Final = 3600
# In folded lines a long address would be encoded as words, and no mail program would find the link in its header.
_WHOLE_LINES: Final = SMTP.clone(max_line_length=998)

_LETTER = """
SELECT n.id, n.user_id, u.email, u.locale, u.timezone, n.kind, n.task_id, n.details
FROM notifications n JOIN users u ON u.id = n.user_id
WHERE n.id = %(id)s AND u.is_active AND u.email IS NOT NULL AND n.kind <> ALL(u.unwanted_mail)
"""

_DISCARD = "UPDATE notifications SET mail_status = NULL WHERE mail_status = 'pending'"


@dataclass(frozen=True, slots=True)
class Letter:
    """What a mail is made of: its reader, and what it tells."""

    notification_id: int
    user_id: int
    address: str
    locale: str
    timezone: str
    kind: str
    task_id: int
    details: dict[str, Any]


@jobs.caused_by(NOTIFICATION_CREATED)
def request_mail(event: Event) -> Iterator[JobRequest]:
    """A notification that its reader wants by mail asks for the mail."""
    notification = orjson.loads(event.data)
    if notification["by_mail"]:
        yield jobs.MAIL_SEND.request(notification["id"])


@jobs.MAIL_SEND.work
def send(context: JobContext, notification_id: int) -> None:
    """Send the mail of a notification, if its turn has come and its reader still wants it."""
    if not context.mail_server.is_configured:
        return
    patience = Patience(context.settings.mail_attempts, context.settings.mail_retry_seconds, _LONGEST_WAIT_SECONDS)
    if WAITING.give_up_lost(notification_id, patience):
        _log_given_up(notification_id, "its job has killed its process")
    if not WAITING.claim(notification_id, patience):
        return
    letter = _read_letter(notification_id)
    if letter is None:
        WAITING.settle(notification_id, None)
    else:
        _deliver(context, letter, patience)


@jobs.MAIL_SWEEP.work
def sweep(context: JobContext) -> int:
    """Send jobs for mails that wait although their turn has come; returns how many.

    Where there is no mail server that could take them, the mails are discarded instead.
    """
    if not context.mail_server.is_configured:
        return discard_mails()
    return send_overdue(context, jobs.MAIL_SEND, WAITING)


@jobs.MAIL_SWEEP.when
def is_overdue(_context: JobContext) -> bool:
    """Whether any mail waits although its turn has come."""
    return WAITING.has_overdue()


def discard_mails() -> int:
    """Send none of the mails that wait; returns how many there were."""
    with unit_of_work():
        return write(_DISCARD).count


def revive_mails() -> int:
    """Try the mails that were given up once more, from the first attempt; returns how many."""
    return WAITING.revive()


def compose(letter: Letter, settings: Settings, links: MailLinks) -> EmailMessage:
    """Write a mail in its reader's language.

    Its `Message-ID` is always the same, so that a reader's program recognizes a mail that was sent twice.
    """
    language = language_of(letter.locale)
    issuer = TokenIssuer(settings.secret_key.get_secret_value(), settings.access_token_minutes * 60)
    unsubscribe = links.to_unsubscribe(issuer.unsubscribe_token(letter.user_id, letter.kind))
    domain = parseaddr(settings.mail_from)[1].rpartition("@")[2]
    subject = text_of(letter.kind, letter.details)
    mail = EmailMessage(_WHOLE_LINES)
    mail["From"] = settings.mail_from
    mail["To"] = letter.address
    mail["Subject"] = _one_line(translate(subject, language))
    mail["Message-ID"] = f"<notification-{letter.notification_id}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["List-Unsubscribe"] = f"<{unsubscribe}>"
    mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    texts = [
        subject,
        *_details(letter, language),
        msg("The task: {address}", address=links.to_task(letter.task_id)),
        msg("No more mails of this kind: {address}", address=unsubscribe),
    ]
    mail.set_content("\n\n".join(translate(text, language) for text in texts) + "\n")
    mail["Content-Language"] = language
    return mail


def _read_letter(notification_id: int) -> Letter | None:
    """What the mail is made of, or None where its reader does not want it any more."""
    row = read(_LETTER, {"id": notification_id}).fetch_one()
    return None if row is None else Letter(*row)


def _deliver(context: JobContext, letter: Letter, patience: Patience) -> None:
    notification_id = letter.notification_id
    try:
        context.mail_server.send(compose(letter, context.settings, context.mail_links))
    except MailRefused as refusal:
        WAITING.settle(notification_id, WAITING.given_up)
        _log_given_up(notification_id, str(refusal))
    except MailUndelivered as delay:
        if WAITING.give_up(notification_id, patience):
            _log_given_up(notification_id, str(delay))
        else:
            log.warning("mail_put_off", notification_id=notification_id, reason=str(delay))
    else:
        WAITING.settle(notification_id, "sent")
        log.info("mail_sent", notification_id=notification_id)


def _log_given_up(notification_id: int, reason: str) -> None:
    log.error("mail_given_up", notification_id=notification_id, reason=reason)


def _details(letter: Letter, language: str) -> Iterator[str]:
    if letter.details["said"]:
        yield letter.details["said"]
    if letter.details["due_at"]:
        due_at = datetime.fromisoformat(letter.details["due_at"])
        zone = ZoneInfo(letter.timezone)
        day = format_date(due_at.astimezone(zone), "full", locale=language)
        hour = format_time(due_at, "short", tzinfo=zone, locale=language)
        yield msg("Due: {when}", when=f"{day}, {hour} ({letter.timezone})")


def _one_line(text: str) -> str:
    return " ".join(text.split())
