"""Mails: how they are written, and how they leave, over SMTP."""

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import parseaddr
from typing import Any, Final
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_time

from core.config import Settings
from core.messages import language_of, msg, translate
from core.security import TokenIssuer
from core.services.notifications import KINDS, text_of

_UNSUBSCRIBE_PATH: Final = "/api/v1/notifications/unsubscribe"
_TASKS_PATH: Final = "/api/v1/tasks"
_PERMANENT: Final = 500
# Folded, a long address would be encoded as words, and no mail program would find the link in its header.
_WHOLE_LINES: Final = SMTP.clone(max_line_length=998)


class MailRefused(Exception):  # noqa: N818 - an answer of the server, not a mistake.
    """The mail server takes this mail neither now nor later."""


class MailUndelivered(Exception):  # noqa: N818 - a state of the server, not a mistake.
    """The mail server cannot be reached, or puts us off."""


@dataclass(frozen=True, slots=True)
class Letter:
    """What a mail is made of: its reader, and what it tells of."""

    notification_id: int
    user_id: int
    address: str
    locale: str
    timezone: str
    kind: str
    task_id: int
    details: dict[str, Any]


class Mailer:
    """Writes mails in their reader's language and hands them to the mail server."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._issuer = TokenIssuer(settings.secret_key.get_secret_value(), settings.access_token_minutes * 60)

    @property
    def is_configured(self) -> bool:
        """Whether there is a mail server at all."""
        return self._settings.smtp_host is not None

    def send(self, letter: Letter) -> None:
        """Send one mail.

        Raises:
            MailRefused: where the server will never take it.
            MailUndelivered: where it may do so later.
        """
        mail = self.write(letter)
        try:
            with self._server() as server:
                server.send_message(mail)
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            raise _refusal(min(codes)) from None
        except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
            raise _refusal(error.smtp_code) from None
        except (smtplib.SMTPException, OSError) as error:
            raise MailUndelivered(type(error).__name__) from None

    def write(self, letter: Letter) -> EmailMessage:
        """Write a mail; its id is always the same, so that a reader's program knows one that came twice."""
        language = language_of(letter.locale)
        base = self._settings.public_url
        token = self._issuer.unsubscribe_token(letter.user_id, KINDS.index(letter.kind))
        unsubscribe = f"{base}{_UNSUBSCRIBE_PATH}?token={token}"
        domain = parseaddr(self._settings.mail_from)[1].rpartition("@")[2]
        mail = EmailMessage(_WHOLE_LINES)
        mail["From"] = self._settings.mail_from
        mail["To"] = letter.address
        mail["Subject"] = _one_line(translate(text_of(letter.kind, letter.details), language))
        mail["Message-ID"] = f"<notification-{letter.notification_id}@{domain}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail["List-Unsubscribe"] = f"<{unsubscribe}>"
        mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        texts = [
            text_of(letter.kind, letter.details),
            *_details(letter, language),
            msg("The task: {address}", address=f"{base}{_TASKS_PATH}/{letter.task_id}"),
            msg("No more mails of this kind: {address}", address=unsubscribe),
        ]
        mail.set_content("\n\n".join(translate(text, language) for text in texts) + "\n")
        mail["Content-Language"] = language
        return mail

    @contextmanager
    def _server(self) -> Iterator[smtplib.SMTP]:
        settings = self._settings
        host, seconds = settings.smtp_host or "", settings.smtp_timeout
        tls = ssl.create_default_context()
        if settings.smtp_security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(host, settings.smtp_port, timeout=seconds, context=tls)
        else:
            server = smtplib.SMTP(host, settings.smtp_port, timeout=seconds)
        try:
            if settings.smtp_security == "starttls":
                server.starttls(context=tls)
            if settings.smtp_username is not None and settings.smtp_password is not None:
                server.login(settings.smtp_username, settings.smtp_password.get_secret_value())
            yield server
        finally:
            # A mail that was taken stays so, however the server says goodbye.
            with suppress(smtplib.SMTPException, OSError):
                server.quit()


def _details(letter: Letter, language: str) -> Iterator[str]:
    if letter.details["said"]:
        yield letter.details["said"]
    if letter.details["due_at"]:
        due_at = datetime.fromisoformat(letter.details["due_at"])
        zone = ZoneInfo(letter.timezone)
        day = format_date(due_at.astimezone(zone), "full", locale=language)
        hour = format_time(due_at, "short", tzinfo=zone, locale=language)
        yield msg("Due: {when}", when=f"{day}, {hour} ({letter.timezone})")


def _refusal(code: int) -> Exception:
    return MailRefused(str(code)) if code >= _PERMANENT else MailUndelivered(str(code))


def _one_line(text: str) -> str:
    return " ".join(text.split())
