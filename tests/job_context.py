"""The job context for tests, which does not send jobs to the broker."""

from collections.abc import Callable
from typing import Any

from redis import Redis

from core.config import Settings
from core.jobs import JobContext, JobRequest
from core.smtp import SmtpServer
from core.storage import storage_for
from core.weather import provider_for
from worker.links import links_into


def job_context(
    settings: Settings, redis: Redis, dispatch: Callable[[JobRequest], None] = lambda _request: None, **others: Any
) -> JobContext:
    """Return a context made from the settings. `dispatch` gets the sent jobs; `others` replace parts of the context."""
    parts: dict[str, Any] = {
        "weather": provider_for(settings),
        "storage": storage_for(settings),
        "mail_server": SmtpServer(settings),
        "mail_links": links_into(settings),
        "queue_length": lambda _queue: 0,
    }
    return JobContext(settings=settings, redis=redis, dispatch=dispatch, **(parts | others))
