"""The mails of notifications: they are composed, sent, retried, and given up in the end.

A mail is claimed before it is sent (see `core.retries`), so two workers never send the same one. A mail is sent twice
only if a worker dies after the mail server has accepted it and before this is stored. Both then have the same
`Message-ID`.
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
from core.models.task import Task
from core.retries import RetryPolicy, WaitingWork, send_overdue
from core.security import TokenIssuer
from core.services.notifications import text_of
from core.smtp import MailRefused, MailUndelivered

log = structlog.get_logger()

WAITING: Final[WaitingWork[int]] = WaitingWork("notifications", prefix="mail", key="id", given_up="dead")
_LONGEST_WAIT_SECONDS: Final = 3600
# If lines were folded, a long address in a header would be encoded, and mail programs would not find the link in it.
_WHOLE_LINES: Final = SMTP.clone(max_line_length=998)

_CONTENT = f"""
SELECT n.id, n.user_id, u.email, u.locale, u.timezone, n.kind, n.task_id, n.details
FROM notifications n JOIN users u ON u.id = n.user_id JOIN tasks t ON t.id = n.task_id
WHERE n.id = %(id)s AND u.is_active AND u.email IS NOT NULL AND n.kind <> ALL(u.unwanted_mail)
      AND (u.role = 'admin' OR {Task.visible_to(reader="u.id")})
"""

_DISCARD = "UPDATE notifications SET mail_status = NULL WHERE mail_status = 'pending'"


@dataclass(frozen=True, slots=True)
class MailContent:
    """The data that a mail is composed from: its reader, and its notification."""

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
    """Request the mail of a notification, if its reader wants it by mail."""
    notification = orjson.loads(event.data)
    if notification["by_mail"]:
        yield jobs.MAIL_SEND.request(notification["id"])


@jobs.MAIL_SEND.work
def send(context: JobContext, notification_id: int) -> None:
    """Send the mail of a notification, if it is due and its reader still wants it and may still read the task."""
    if not context.mail_server.is_configured:
        return
    policy = RetryPolicy(context.settings.mail_attempts, context.settings.mail_retry_seconds, _LONGEST_WAIT_SECONDS)
    if WAITING.give_up_lost(notification_id, policy):
        _log_given_up(notification_id, "its job has killed its process")
    if not WAITING.claim(notification_id, policy):
        return
    content = _read_content(notification_id)
    if content is None:
        WAITING.settle(notification_id, None)
    else:
        _deliver(context, content, policy)


@jobs.MAIL_SWEEP.work
def sweep(context: JobContext) -> int:
    """Send jobs for overdue mails; returns how many.

    If no mail server is configured, the waiting mails are discarded instead.
    """
    if not context.mail_server.is_configured:
        return discard_mails()
    return send_overdue(context, jobs.MAIL_SEND, WAITING)


@jobs.MAIL_SWEEP.when
def is_overdue(_context: JobContext) -> bool:
    """Whether any mail is overdue."""
    return WAITING.has_overdue()


def discard_mails() -> int:
    """Discard all waiting mails; returns how many there were."""
    with unit_of_work():
        return write(_DISCARD).count


def revive_mails() -> int:
    """Try the mails that were given up again, from the first attempt; returns how many there are."""
    return WAITING.revive()


def compose(content: MailContent, settings: Settings, links: MailLinks) -> EmailMessage:
    """Compose a mail in the language of its reader.

    The `Message-ID` only depends on the notification, so that mail programs recognize a mail that was sent twice.
    """
    language = language_of(content.locale)
    issuer = TokenIssuer.from_settings(settings)
    unsubscribe = links.to_unsubscribe(issuer.unsubscribe_token(content.user_id, content.kind))
    domain = parseaddr(settings.mail_from)[1].rpartition("@")[2]
    subject = text_of(content.kind, content.details)
    mail = EmailMessage(_WHOLE_LINES)
    mail["From"] = settings.mail_from
    mail["To"] = content.address
    mail["Subject"] = _one_line(translate(subject, language))
    mail["Message-ID"] = f"<notification-{content.notification_id}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["List-Unsubscribe"] = f"<{unsubscribe}>"
    mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    texts = [
        subject,
        *_details(content, language),
        msg("The task: {address}", address=links.to_task(content.task_id)),
        msg("No more mails of this kind: {address}", address=unsubscribe),
    ]
    mail.set_content("\n\n".join(translate(text, language) for text in texts) + "\n")
    mail["Content-Language"] = language
    return mail


def _read_content(notification_id: int) -> MailContent | None:
    """Read the data of a mail; None if its reader does not want it any more, or may not read the task any more."""
    row = read(_CONTENT, {"id": notification_id}).fetch_one()
    return None if row is None else MailContent(*row)


def _deliver(context: JobContext, content: MailContent, policy: RetryPolicy) -> None:
    notification_id = content.notification_id
    try:
        context.mail_server.send(compose(content, context.settings, context.mail_links))
    except MailRefused as refusal:
        WAITING.settle(notification_id, WAITING.given_up)
        _log_given_up(notification_id, str(refusal))
    except MailUndelivered as delay:
        if WAITING.give_up(notification_id, policy):
            _log_given_up(notification_id, str(delay))
        else:
            log.warning("mail_put_off", notification_id=notification_id, reason=str(delay))
    else:
        WAITING.settle(notification_id, "sent")
        log.info("mail_sent", notification_id=notification_id)


def _log_given_up(notification_id: int, reason: str) -> None:
    log.error("mail_given_up", notification_id=notification_id, reason=reason)


def _details(content: MailContent, language: str) -> Iterator[str]:
    if content.details["said"]:
        yield content.details["said"]
    if content.details["due_at"]:
        due_at = datetime.fromisoformat(content.details["due_at"])
        zone = ZoneInfo(content.timezone)
        day = format_date(due_at.astimezone(zone), "full", locale=language)
        hour = format_time(due_at, "short", tzinfo=zone, locale=language)
        yield msg("Due: {when}", when=f"{day}, {hour} ({content.timezone})")


def _one_line(text: str) -> str:
    return " ".join(text.split())
