"""The Celery app: what its processes need, and what every job has in common."""

import os
import sys
import time
from typing import Any

import structlog
from celery import Celery, Task
from celery.signals import setup_logging, worker_process_init
from peewee import InterfaceError, OperationalError
from redis import Redis
from redis.exceptions import RedisError
from structlog.contextvars import bind_contextvars, clear_contextvars

from core import db, events, jobs, logs
from core.config import Settings
from worker import kombu_patch

log = structlog.get_logger()

_STATEMENT_SECONDS = 30.0
_REDIS_SECONDS = 5.0

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

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the job."""
        clear_contextvars()
        bind_contextvars(job=self.name, job_id=self.request.id)
        if request_id := (self.request.headers or {}).get("request_id"):
            bind_contextvars(request_id=request_id)
        recorded: list[bool] = []
        stop_listening = events.on_recorded(lambda: recorded.append(True))
        started = time.perf_counter()
        outcome = "failed"
        try:
            result = self.run(*args, **kwargs)
            outcome = "done"
        except (OperationalError, InterfaceError, RedisError) as error:
            outcome = "put_off"
            log.warning("dependency_unavailable", reason=type(error).__name__)
        else:
            return result
        finally:
            stop_listening()
            log.info("job", outcome=outcome, duration_ms=round((time.perf_counter() - started) * 1000, 1))
            if recorded:
                self.app.send_task(jobs.EVENTS_PUBLISH)
        return None


app = Celery(
    "allweather", task_cls=Job, include=["worker.events", "worker.weather", "worker.analytics", "worker.tokens"]
)
app.config_from_object("celeryconfig")


@setup_logging.connect  # type: ignore[untyped-decorator]  # Celery ships no types.
def _configure_logs(**_: Any) -> None:
    # Celery starts them all from one command line, and does not tell the handler which of them this is.
    logs.configure(settings, next((name for name in ("beat", "flower") if name in sys.argv), "worker"))


@worker_process_init.connect  # type: ignore[untyped-decorator]  # Celery ships no types.
def _leave_the_parents_connections(**_: Any) -> None:
    """A forked process must not use the sockets of its parent."""
    db.disconnect()
    redis.connection_pool.reset()
