"""Mails that wait in the rows of a table: each is composed, sent, retried, and given up in the end.

A mail is claimed before it is sent (see `core.retries`), so two workers never send the same one. A mail is sent twice
only if a worker dies after the mail server has accepted it and before this is stored. Both then have the same
`Message-ID`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import parseaddr
from typing import Final

import structlog

from core import metrics
from core.config import Settings
from core.db import unit_of_work, write
from core.jobs import JobContext
from core.mail_caps import Admission, Cap
from core.messages import translate
from core.names import mail_address
from core.retries import Outcome, RetryPolicy, WaitingWork
from core.smtp import MailRefused, MailUndelivered

log = structlog.get_logger()

_LONGEST_WAIT_SECONDS: Final = 3600
# Over how much of the next hour the mails are spread for which there was no room in this one.
_SPREAD_SECONDS: Final = 300
# If lines were folded, a long address in a header would be encoded, and mail programs would not find the link in it.
_WHOLE_LINES: Final = SMTP.clone(max_line_length=998)


@dataclass(frozen=True, slots=True)
class OutgoingMail:
    """A mail to send, and the caps that it counts against."""

    mail: EmailMessage
    caps: tuple[Cap, ...]


@dataclass(frozen=True)
class MailQueue:
    """A table whose rows are mails to send.

    Attributes:
        waiting: The rows that wait.
        id_name: What the id of a row is called in the log.
        compose: Returns the mail of a row and its caps, or None if nobody wants it any more.
    """

    waiting: WaitingWork[int]
    id_name: str
    compose: Callable[[JobContext, int], OutgoingMail | None]

    def send(self, context: JobContext, row_id: int) -> None:
        """Send a mail, if it is due and still wanted."""
        if not context.mail_server.is_configured:
            return
        policy = RetryPolicy(context.settings.mail_attempts, context.settings.mail_retry_seconds, _LONGEST_WAIT_SECONDS)
        if self.waiting.give_up_lost([row_id], policy):
            self._log_given_up(row_id, "its job has killed its process")
        if not self.waiting.claim([row_id], policy):
            return
        outgoing = self.compose(context, row_id)
        if outgoing is None:
            self.waiting.settle({row_id: Outcome(None)})
            return
        admission = Admission.of(outgoing.caps)
        if not admission.exceeded:
            self._deliver(context, row_id, outgoing.mail, policy, admission)
        elif all(cap.waits for cap in admission.exceeded):
            metrics.MAILS.add(1, "capped")
            self.waiting.postpone([row_id], _next_hour(), _SPREAD_SECONDS)
        else:
            metrics.MAILS.add(1, "capped")
            self.waiting.settle({row_id: Outcome(None)})

    def discard(self) -> int:
        """Discard all waiting mails; returns how many there were."""
        with unit_of_work():
            table = self.waiting.table
            return write(f"UPDATE {table} SET mail_status = NULL WHERE mail_status = 'pending'").count

    def _deliver(
        self, context: JobContext, row_id: int, mail: EmailMessage, policy: RetryPolicy, admission: Admission
    ) -> None:
        try:
            context.mail_server.send(mail)
        except MailRefused as refusal:
            self.waiting.refuse([row_id], str(refusal))
            self._log_given_up(row_id, str(refusal))
        except MailUndelivered as delay:
            admission.take_back()
            if self.waiting.give_up([row_id], policy, str(delay)):
                self._log_given_up(row_id, str(delay))
            else:
                metrics.MAILS.add(1, "put_off")
                log.warning("mail_put_off", **{self.id_name: row_id}, reason=str(delay))
        else:
            self.waiting.settle({row_id: Outcome("sent")})
            metrics.MAILS.add(1, "sent")
            log.info("mail_sent", **{self.id_name: row_id})

    def _log_given_up(self, row_id: int, reason: str) -> None:
        metrics.MAILS.add(1, "given_up")
        log.error("mail_given_up", **{self.id_name: row_id}, reason=reason)


def _next_hour() -> datetime:
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)


def new_mail(
    settings: Settings, *, to: str, subject: str, paragraphs: Iterable[str], message_id: str, language: str
) -> EmailMessage:
    """Return a mail with these texts in a language.

    The same row always gives the same `message_id`, so that mail programs recognize a mail that was sent twice.
    """
    domain = parseaddr(settings.mail_from)[1].rpartition("@")[2]
    mail = EmailMessage(_WHOLE_LINES)
    mail["From"] = settings.mail_from
    mail["To"] = mail_address(to)
    mail["Subject"] = " ".join(translate(subject, language).split())
    mail["Message-ID"] = f"<{message_id}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content("\n\n".join(translate(text, language) for text in paragraphs) + "\n")
    mail["Content-Language"] = language
    return mail
