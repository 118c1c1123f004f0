"""The Celery app: it makes the context of the jobs, and a Celery task of every job that `core.jobs` declares."""

import os
import sys
import time
from typing import Any

import structlog
from celery import Celery, Task
from celery.signals import setup_logging, worker_process_init, worker_process_shutdown
from kombu.exceptions import OperationalError as BrokerUnavailable
from peewee import InterfaceError, OperationalError
from redis import Redis
from redis.exceptions import RedisError

from core import db, error_reports, events, jobs, logs, metrics, redis_clients, services, tracing
from core.activity import ACTIVITY
from core.config import Settings
from core.heartbeat import start_heartbeat, stop_heartbeat
from core.jobs import Job, JobContext, JobRequest
from core.log_context import bound_to_log
from core.publisher_signal import request_publication
from core.services.processes import Identity
from core.smtp import SmtpServer
from core.storage import storage_for
from core.weather import provider_for
from worker import kombu_patch, worker_metrics
from worker.flower import refuse_without_login
from worker.links import links_into

log = structlog.get_logger()

_STATEMENT_SECONDS = 30.0
_REDIS_SECONDS = 5.0
DEPENDENCY_UNAVAILABLE = (OperationalError, InterfaceError, RedisError, BrokerUnavailable)

kombu_patch.apply()
settings = Settings.from_environ(os.environ)
refuse_without_login(settings, os.environ)
redis: Redis = redis_clients.connect(
    settings.redis_url.get_secret_value(), socket_timeout=_REDIS_SECONDS, socket_connect_timeout=2
)
db.configure(settings.database_url.get_secret_value(), application="worker", statement_seconds=_STATEMENT_SECONDS)


class JobTask(Task):  # type: ignore[misc]  # Celery ships no types.
    """The base of all tasks: it logs one line for each job, and requests publication after events were recorded.

    If a server is down, the job ends with a short log line instead of a traceback; a sweep will send it again.
    """

    # The seconds after which a job is started again if its process was killed. They must be much shorter than the
    # broker's visibility timeout, or the broker would deliver the waiting message a second time.
    default_retry_delay = 1
    max_retries = 3

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the job."""
        context = {"job": self.name, "job_id": self.request.id}
        if request_id := (self.request.headers or {}).get("request_id"):
            context |= {"request_id": request_id, **tracing.log_fields(request_id)}
        with bound_to_log(**context), tracing.job(self.name, request_id):
            recorded: list[bool] = []
            stop_listening = events.on_recorded(lambda: recorded.append(True))
            try:
                return self._run_and_log(*args, **kwargs)
            finally:
                stop_listening()
                if recorded:
                    self._request_publication()

    def _run_and_log(self, *args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter()
        outcome, write = "failed", log.info
        metrics.JOBS_RUNNING.add(1, self.name)
        try:
            result = self.run(*args, **kwargs)
            outcome = "done"
            # A job that found nothing to do is only of interest when somebody looks for a defect.
            write = log.debug if result == 0 else log.info
        except DEPENDENCY_UNAVAILABLE as error:
            outcome = "put_off"
            log.warning("dependency_unavailable", reason=type(error).__name__)
        except Exception:
            # Celery's own line with the traceback is not written, because it would not have the id of the request.
            write = log.exception
            raise
        else:
            return result
        finally:
            seconds = time.perf_counter() - started
            metrics.JOBS_RUNNING.add(-1, self.name)
            metrics.JOB_SECONDS.observe(seconds, self.name, outcome)
            ACTIVITY.observe("job", self.name, seconds, refused=outcome == "put_off", failed=outcome == "failed")
            write("job", outcome=outcome, duration_ms=round(seconds * 1000, 1))
        return None

    def _request_publication(self) -> None:
        try:
            request_publication(redis, lambda: self.app.send_task(jobs.EVENTS_PUBLISH.name))
        except (BrokerUnavailable, RedisError) as error:
            log.warning("dependency_unavailable", reason=type(error).__name__)


app = Celery("allweather", task_cls=JobTask)
app.config_from_object("celeryconfig")


def _dispatch(request: JobRequest) -> None:
    app.send_task(request.name, request.arguments, headers={"request_id": request.request_id})


def _queue_length(queue: str) -> int:
    """Return how many messages wait in a queue, which Celery keeps as a list in Redis."""
    length: Any = redis.llen(queue)
    return int(length)


context = JobContext(
    settings=settings,
    redis=redis,
    weather=provider_for(settings),
    storage=storage_for(settings),
    mail_server=SmtpServer(settings),
    mail_links=links_into(settings),
    dispatch=_dispatch,
    queue_length=_queue_length,
)


def register(job: Job[*tuple[Any, ...]]) -> None:
    """Make a Celery task of a job.

    Raises:
        JobDeclarationError: if the job has no work function; the worker then does not start.
    """
    work = job.required_work()

    def run(*arguments: Any) -> int | None:
        return work(context, *arguments)

    app.task(name=job.name)(run)


services.import_all()
for declared in jobs.ALL:
    register(declared)


def _configure_logs(**_: Any) -> None:
    # The handler gets no argument that says which process this is, so the name comes from the command line.
    logs.configure(settings, next((name for name in ("beat", "flower") if name in sys.argv), "worker"))


def _drop_inherited_connections(**_: Any) -> None:
    """A forked process must not use the sockets of its parent, and has none of its threads."""
    db.disconnect()
    redis.connection_pool.reset()
    tracing.configure(settings, "worker")


def _send_what_waits(**_: Any) -> None:
    """Send the last spans and reports of errors: no exit handler runs in a process of a worker."""
    tracing.finish()
    error_reports.flush()


def _start_heartbeat(**_: Any) -> None:
    """Each process of a worker has a heartbeat of its own; the one that starts them forks, so it must have none."""
    start_heartbeat(Identity("worker", "worker"))


def _stop_heartbeat(**_: Any) -> None:
    stop_heartbeat()


setup_logging.connect(_configure_logs)
worker_metrics.connect(settings)
worker_process_init.connect(_drop_inherited_connections)
worker_process_shutdown.connect(_send_what_waits)
worker_process_init.connect(_start_heartbeat)
worker_process_shutdown.connect(_stop_heartbeat)
