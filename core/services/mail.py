"""The mails of notifications. `core.mail_queue` sends them, and tries them again.

Users take turns, so that the many mails that one user causes do not delay those that others cause.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import orjson
from babel.dates import format_date, format_time

from core import jobs
from core.db import read
from core.events import NOTIFICATION_CREATED, Event
from core.jobs import JobContext, JobRequest
from core.mail_caps import notification_caps
from core.mail_queue import MailQueue, OutgoingMail, new_mail
from core.mail_texts import one_line_without_links, quoted
from core.messages import Message, language_of, msg
from core.models.task import Task
from core.retries import WaitingWork, send_due
from core.security import TokenIssuer
from core.services.notifications import text_of

WAITING: Final[WaitingWork[int]] = WaitingWork(
    "notifications", prefix="mail", key="id", given_up="dead", owner="coalesce(actor_id, user_id)"
)

_CONTENT = f"""
SELECT n.id, n.user_id, u.email, u.locale, u.timezone, n.kind, n.task_id, n.details, coalesce(n.actor_id, t.user_id)
FROM notifications n JOIN users u ON u.id = n.user_id JOIN tasks t ON t.id = n.task_id
WHERE n.id = %(id)s AND u.is_active AND u.email IS NOT NULL AND u.email_verified_at IS NOT NULL
    AND n.kind <> ALL(u.unwanted_mail)
    AND (u.role = 'admin' OR {Task.visible_to(reader="u.id")})
"""


@dataclass(frozen=True, slots=True)
class MailContent:
    """The data that a mail is composed from: its reader, its notification, and who caused it.

    A reminder and a missed deadline have no actor. The owner of the task has caused them.
    """

    notification_id: int
    user_id: int
    address: str
    locale: str
    timezone: str
    kind: str
    task_id: int
    details: dict[str, Any]
    sender_id: int


@jobs.caused_by(NOTIFICATION_CREATED)
def request_mail(event: Event) -> Iterator[JobRequest]:
    """Request the mail of a notification, if its reader wants it by mail.

    One request is enough for all notifications of a batch of events, because its job sends further ones.
    """
    if orjson.loads(event.data)["by_mail"]:
        yield jobs.MAIL_SEND.request()


@jobs.MAIL_SEND.work
def send_next(context: JobContext) -> int:
    """Send a mail that the user whose turn it is has caused; returns how many mails this were, 0 or 1."""
    notification_id = WAITING.next_key() if context.mail_server.is_configured else None
    if notification_id is None:
        return 0
    send(context, notification_id)
    send_due(context, jobs.MAIL_SEND, WAITING)
    return 1


def send(context: JobContext, notification_id: int) -> None:
    """Send the mail of a notification, if it is due and its reader still wants it and may still read the task."""
    _QUEUE.send(context, notification_id)


@jobs.MAIL_SWEEP.work
def sweep(context: JobContext) -> int:
    """Send jobs for overdue mails, or discard them if no mail server is configured; returns how many."""
    if not context.mail_server.is_configured:
        return _QUEUE.discard()
    return send_due(context, jobs.MAIL_SEND, WAITING)


@jobs.MAIL_SWEEP.when
def is_overdue(_context: JobContext) -> bool:
    """Whether any mail is overdue."""
    return WAITING.has_overdue()


def _compose(context: JobContext, notification_id: int) -> OutgoingMail | None:
    """Compose a mail in the language of its reader; None if the reader does not want it any more."""
    row = read(_CONTENT, {"id": notification_id}).fetch_one()
    if row is None:
        return None
    content = MailContent(*row)
    settings, links = context.settings, context.mail_links
    language = language_of(content.locale)
    issuer = TokenIssuer.from_settings(settings)
    unsubscribe = links.to_unsubscribe(issuer.unsubscribe_token(content.user_id, content.kind))
    subject = _subject(content, language)
    texts = [
        subject,
        *_details(content, language),
        msg("The task: {address}", address=links.to_task(content.task_id)),
        *([context.weather.attribution] if content.details.get("weather") else []),
        msg("No more mails of this kind: {address}", address=unsubscribe),
    ]
    mail = new_mail(
        settings,
        to=content.address,
        subject=subject,
        paragraphs=texts,
        message_id=f"notification-{notification_id}",
        language=language,
    )
    mail["List-Unsubscribe"] = f"<{unsubscribe}>"
    mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    return OutgoingMail(mail, notification_caps(settings, content.sender_id, content.user_id))


def _subject(content: MailContent, language: str) -> Message:
    """Return the sentence of a notification, with the texts of users as they may stand in a mail."""
    texts = {name: content.details[name] for name in ("actor", "title")}
    safe = {name: text and one_line_without_links(text) for name, text in texts.items()}
    return text_of(content.kind, content.details | safe, language)


_QUEUE: Final = MailQueue(WAITING, "notification_id", _compose)


def _details(content: MailContent, language: str) -> Iterator[str]:
    if content.details["said"]:
        yield quoted(content.details["said"])
    # Notifications that were made before deadlines without a time existed have no `due_on`.
    if due_on := content.details.get("due_on"):
        yield msg("Due: {when}", when=format_date(date.fromisoformat(due_on), "full", locale=language))
    elif content.details["due_at"]:
        due_at = datetime.fromisoformat(content.details["due_at"])
        zone = ZoneInfo(content.timezone)
        day = format_date(due_at.astimezone(zone), "full", locale=language)
        hour = format_time(due_at, "short", tzinfo=zone, locale=language)
        yield msg("Due: {when}", when=f"{day}, {hour} ({content.timezone})")
