"""A mail server on loopback that keeps what it is given, and refuses what it is told to."""

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any, Self

from aiosmtpd.controller import Controller


class MailServer:
    """Speaks SMTP; `refusal` is what it answers to the next mails instead of taking them."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.mails: list[EmailMessage] = []
        self.contents: list[bytes] = []
        self.recipients: list[str] = []
        self.refusal: str | None = None
        self._controller = Controller(self, hostname="127.0.0.1", port=port)

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    async def handle_RCPT(  # noqa: N802 - the server calls it so.
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
        return "250 OK"
