"""What the work of jobs is given in tests: it collects the jobs that are sent instead of sending them."""

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
    """A context out of the settings; `others` replace single parts of it."""
    parts: dict[str, Any] = {
        "weather": provider_for(settings),
        "storage": storage_for(settings),
        "mail_server": SmtpServer(settings),
        "mail_links": links_into(settings.public_url),
        "queue_length": lambda _queue: 0,
    }
    return JobContext(settings=settings, redis=redis, dispatch=dispatch, **(parts | others))
