"""Celery's settings, for the workers, for beat, for Flower, and for the API, which only sends.

The broker is a hint and PostgreSQL the truth: whatever is lost here is found again by a sweep. So nothing is retried
for long, nothing waits in a message, and every job may run twice.
"""

import os

from core import jobs
from core.config import Settings

_settings = Settings.from_environ(os.environ)

broker_url = _settings.redis_url.get_secret_value()
broker_connection_timeout = 2
broker_connection_max_retries = None
broker_connection_retry_on_startup = True
broker_transport_options = {
    # Longer than any job may run; otherwise a job that is still running would be handed out a second time.
    "visibility_timeout": 120,
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    "socket_timeout": 5,
    "socket_connect_timeout": 2,
}

accept_content = ["json"]
task_serializer = "json"
enable_utc = True
timezone = "UTC"

task_ignore_result = True
task_acks_late = True
task_reject_on_worker_lost = True
# A job that kills its process is started anew a few times (`worker.app.JobTask` says how often and how soon) and then
# given up: the sweeps find what is left to do.
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

# A periodic message is void when the next one is due, so that none pile up while no worker runs.
beat_schedule = {
    job.name: {"task": job.name, "schedule": job.every, "options": {"expires": job.every}}
    for job in jobs.ALL
    if job.every is not None
}
