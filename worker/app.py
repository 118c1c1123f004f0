"""The Celery app: what its processes need, and what every job has in common."""

import os
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

import structlog
from celery import Celery, Task
from celery.signals import setup_logging, worker_process_init
from kombu.exceptions import OperationalError as BrokerUnavailable
from peewee import InterfaceError, OperationalError
from redis import Redis
from redis.exceptions import RedisError
from structlog.contextvars import bound_contextvars

from core import db, events, jobs, logs
from core.config import Settings
from worker import kombu_patch

log = structlog.get_logger()

_STATEMENT_SECONDS = 30.0
_REDIS_SECONDS = 5.0
# A longer queue means that the workers are behind; what waits in it need not be put there a second time.
_BACKLOG = 500
_DEPENDENCY_UNAVAILABLE = (OperationalError, InterfaceError, RedisError, BrokerUnavailable)

kombu_patch.apply()
settings = Settings.from_environ(os.environ)
redis: Redis = Redis.from_url(
    settings.redis_url.get_secret_value(), socket_timeout=_REDIS_SECONDS, socket_connect_timeout=2
)
db.configure(settings.database_url.get_secret_value(), application="worker", statement_seconds=_STATEMENT_SECONDS)


class Job(Task):  # type: ignore[misc]  # Celery ships no types.
    """A job: one line in the log, and a wake-up for the publisher where it has changed something.

    Where a server is down the job ends with a short line instead of a traceback: a sweep will start it again.
    """

    # A job whose process was killed is started again after so many seconds. It must be long before the broker's
    # visibility time-out, or the broker would hand out the waiting message a second time.
    default_retry_delay = 1
    max_retries = 3
    # Every few seconds a sweep finds nothing, which is worth no line in the log.
    quiet = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the job."""
        context = {"job": self.name, "job_id": self.request.id}
        if request_id := (self.request.headers or {}).get("request_id"):
            context["request_id"] = request_id
        with bound_contextvars(**context):
            recorded: list[bool] = []
            stop_listening = events.on_recorded(lambda: recorded.append(True))
            try:
                return self._run_and_tell(*args, **kwargs)
            finally:
                stop_listening()
                if recorded:
                    self._wake_publisher()

    def _run_and_tell(self, *args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter()
        outcome, write = "failed", log.info
        try:
            result = self.run(*args, **kwargs)
            outcome = "done"
            write = log.debug if self.quiet and not result else log.info
        except _DEPENDENCY_UNAVAILABLE as error:
            outcome = "put_off"
            log.warning("dependency_unavailable", reason=type(error).__name__)
        else:
            return result
        finally:
            write("job", outcome=outcome, duration_ms=round((time.perf_counter() - started) * 1000, 1))
        return None

    def _wake_publisher(self) -> None:
        try:
            self.app.send_task(jobs.EVENTS_PUBLISH)
        except BrokerUnavailable as error:
            log.warning("dependency_unavailable", reason=type(error).__name__)


app = Celery(
    "allweather",
    task_cls=Job,
    include=[
        "worker.events",
        "worker.weather",
        "worker.reminders",
        "worker.mail",
        "worker.notifications",
        "worker.analytics",
        "worker.tokens",
        "worker.attachments",
    ],
)
app.config_from_object("celeryconfig")


def send_overdue(job: str, queue: str, find: Callable[[int], Iterable[object]]) -> None:
    """Send a job for each of up to so many things that `find` finds still waiting, as far as the queue has room."""
    queued: Any = redis.llen(queue)
    for waiting in find(max(_BACKLOG - queued, 0)):
        app.send_task(job, (waiting,))


@setup_logging.connect  # type: ignore[untyped-decorator]  # Celery ships no types.
def _configure_logs(**_: Any) -> None:
    # Celery starts them all from one command line, and does not tell the handler which of them this is.
    logs.configure(settings, next((name for name in ("beat", "flower") if name in sys.argv), "worker"))


@worker_process_init.connect  # type: ignore[untyped-decorator]  # Celery ships no types.
def _leave_the_parents_connections(**_: Any) -> None:
    """A forked process must not use the sockets of its parent."""
    db.disconnect()
    redis.connection_pool.reset()
