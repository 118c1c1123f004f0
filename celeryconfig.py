"""Celery's settings, for the workers, beat, Flower, and the API, which only sends jobs.

The work to do is stored in PostgreSQL, and a message in the broker is only a signal. A sweep finds the work of a lost
message. So messages are not retried for long, no data is stored only in a message, and every job may run twice.
"""

import os
import time
from typing import Any

from celery.signals import before_task_publish

from core import jobs, redis_clients
from core.config import Settings

_settings = Settings.from_environ(os.environ)

broker_url, _options_of_url = redis_clients.broker_settings(_settings.redis_url.get_secret_value())
broker_connection_timeout = 2
broker_connection_max_retries = None
broker_connection_retry_on_startup = True
broker_transport_options = {
    # Longer than any job may run; otherwise a job that is still running would be delivered a second time.
    "visibility_timeout": 120,
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    "socket_timeout": 5,
    "socket_connect_timeout": 2,
    **_options_of_url,
}

accept_content = ["json"]
task_serializer = "json"
enable_utc = True
timezone = "UTC"

task_ignore_result = True
task_acks_late = True
task_reject_on_worker_lost = True
# A job that crashes its process is retried a few times (`worker.app.JobTask` sets how often and how soon). After that
# the sweeps find the remaining work.
task_retry_on_worker_lost = True
task_soft_time_limit = 30
task_time_limit = 45
task_publish_retry = False
task_send_sent_event = True
task_default_queue = jobs.QUEUE_MAINTENANCE
task_routes = {job.name: {"queue": job.queue} for job in jobs.ALL}

worker_prefetch_multiplier = 1
worker_send_task_events = True
worker_hijack_root_logger = False
worker_redirect_stdouts = False

# A periodic message expires when the next one is due, so that messages do not pile up while no worker runs.
beat_schedule = {
    job.name: {"task": job.name, "schedule": job.every, "options": {"expires": job.every}}
    for job in jobs.ALL
    if job.every is not None
}


def _note_time(headers: dict[str, Any], **_: Any) -> None:
    """Note in each message when it was sent, so that operators see how long the oldest one waits."""
    headers["sent_at"] = time.time()


before_task_publish.connect(_note_time)
