"""A mail server on loopback that stores the mails it receives, or refuses them."""

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from mailbox import Maildir
from pathlib import Path
from typing import Any, Self

from aiosmtpd.controller import Controller


class MailServer:
    """An SMTP server. If `refusal` is set, it is the response to every recipient, and no mail is stored.

    If `directory` is set, each mail is also stored there, in a new Maildir, for programs that read mails.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.mails: list[EmailMessage] = []
        self.contents: list[bytes] = []
        self.recipients: list[str] = []
        self.refusal: str | None = None
        self.directory: Path | None = None
        self._controller = Controller(self, hostname="127.0.0.1", port=port)

    @property
    def settings(self) -> dict[str, Any]:
        """The settings with which the application sends its mails to this server."""
        return {"smtp_host": "127.0.0.1", "smtp_port": self.port, "smtp_security": "none"}

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    async def handle_RCPT(  # noqa: N802 - aiosmtpd requires this name.
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any
    ) -> str:
        if self.refusal is not None:
            return self.refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - as above.
        mail = message_from_bytes(envelope.content, policy=default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        self.contents.append(envelope.content)
        self.recipients += envelope.rcpt_tos
        if self.directory is not None:
            Maildir(self.directory).add(envelope.content)
        return "250 OK"
