"""The mail server, over SMTP. It knows how a mail leaves and nothing of what it says."""

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from typing import Final

from core.config import Settings

_PERMANENT: Final = 500


class MailRefused(Exception):  # noqa: N818 - a response of the server, not a mistake.
    """The mail server takes this mail neither now nor later."""


class MailUndelivered(Exception):  # noqa: N818 - a state of the server, not a mistake.
    """The mail server cannot be reached, or asks to try again later."""


class SmtpServer:
    """The mail server that the settings name; each mail has a connection of its own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @property
    def is_configured(self) -> bool:
        """Whether there is a mail server at all."""
        return self._settings.smtp_host is not None

    def send(self, mail: EmailMessage) -> None:
        """Hand one mail to the server.

        Raises:
            MailRefused: where the server will never take it.
            MailUndelivered: where it may do so later.
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
            # Once the server has taken the mail, a failure while the connection is closed changes nothing.
            with suppress(smtplib.SMTPException, OSError):
                server.quit()


def _refusal(code: int) -> Exception:
    return MailRefused(str(code)) if code >= _PERMANENT else MailUndelivered(str(code))
