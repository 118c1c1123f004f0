"""A server that sends mails, and the mails that it has sent."""

import re
from email.message import EmailMessage

from redis import Redis

from core import jobs
from core.config import Settings
from core.jobs import JobRequest
from core.services import account_mails, publication
from tests.doubles.smtp import MailServer
from tests.job_context import job_context


def sending_mails(settings: Settings, server: MailServer) -> Settings:
    """Return these settings with this mail server."""
    return settings.model_copy(update=server.settings)


class Mailbox:
    """The mails of an installation about its accounts. Looking for mails does first what the workers do."""

    def __init__(self, settings: Settings, redis: Redis, server: MailServer) -> None:
        self._redis = redis
        self._server = server
        self._context = job_context(settings, redis)

    def mails_to(self, address: str) -> list[EmailMessage]:
        """Return the mails that this address has received."""
        publication.publish(self._redis, 1000, self._send)
        return [mail for mail in self._server.mails if mail["To"] == address]

    def token(self, address: str) -> str:
        """Return the token of the link in the newest mail to this address."""
        return self._found(r"\?token=(\S+)", address)

    def code(self, address: str) -> str:
        """Return the code in the newest mail to this address."""
        return self._found(r": (\d{8})\b", address)

    def _found(self, pattern: str, address: str) -> str:
        (found,) = re.findall(pattern, self.mails_to(address)[-1].get_content())
        return str(found)

    def _send(self, request: JobRequest) -> None:
        if request.name == jobs.ACCOUNT_MAIL_SEND.name:
            account_mails.send(self._context, *request.arguments)
