"""The mail server, over SMTP. This module sends mails; their content is made elsewhere."""

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from typing import Final

from core.config import Settings

_PERMANENT: Final = 500


class MailRefused(Exception):  # noqa: N818 - a response of the server, not a mistake.
    """The mail server refuses this mail permanently."""


class MailUndelivered(Exception):  # noqa: N818 - a state of the server, not a mistake.
    """The mail server cannot be reached, or asks to try again later."""


class SmtpServer:
    """The mail server of the settings; a new connection is opened for each mail."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @property
    def is_configured(self) -> bool:
        """Whether there is a mail server at all."""
        return self._settings.has_mail_server

    def send(self, mail: EmailMessage) -> None:
        """Send one mail.

        Raises:
            MailRefused: if the server refuses it permanently.
            MailUndelivered: if the server may accept it later.
        """
        try:
            with self._connection() as server:
                server.send_message(mail)
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            raise _refusal(min(codes)) from None
        except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
            raise _refusal(error.smtp_code) from None
        except (smtplib.SMTPException, OSError) as error:
            raise MailUndelivered(type(error).__name__) from None

    def check(self) -> None:
        """Connect and log in as for a mail, without sending one.

        Raises:
            MailUndelivered: if this fails; the message is the kind of the failure and contains no secret.
        """
        try:
            with self._connection() as server:
                server.noop()
        except (smtplib.SMTPException, OSError) as error:
            raise MailUndelivered(type(error).__name__) from None

    @contextmanager
    def _connection(self) -> Iterator[smtplib.SMTP]:
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
            # The server has already accepted the mail, so a failure while the connection is closed does not matter.
            with suppress(smtplib.SMTPException, OSError):
                server.quit()


def _refusal(code: int) -> Exception:
    return MailRefused(str(code)) if code >= _PERMANENT else MailUndelivered(str(code))
