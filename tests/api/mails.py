"""The work of the workers that leads from requests to mails, done in the process of the test."""

from typing import Any

from redis import Redis

from core import jobs
from core.config import Settings
from core.jobs import JobContext, JobRequest
from core.services import publication
from tests.api.mailbox import sending_mails
from tests.doubles.smtp import MailServer
from tests.job_context import job_context

_BY_NAME = {job.name: job for job in jobs.ALL}
_SENDING = (jobs.MAIL_SEND.name, jobs.ACCOUNT_MAIL_SEND.name)


def mailing(settings: Settings, server: MailServer, **changes: Any) -> Settings:
    """Return the settings of an installation with this mail server."""
    return sending_mails(settings, server).model_copy(update={"public_url": "https://tasks.example.com"} | changes)


def send_mails(settings: Settings, redis: "Redis[bytes]") -> None:
    """Publish all events, and do the work of the jobs for mails that follow from them."""
    sent: list[JobRequest] = []
    context: JobContext = job_context(settings, redis, sent.append)
    publication.publish(redis, 1000, sent.append)
    for request in sent:
        if request.name in _SENDING:
            _BY_NAME[request.name].required_work()(context, *request.arguments)
