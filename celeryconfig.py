"""Celery's settings, for the workers, for beat, for Flower, and for the API, which only sends.

The broker is a hint and PostgreSQL the truth: whatever is lost here is found again by a sweep. So nothing is retried
for long, nothing waits in a message, and every job may run twice.
"""

import os

from core import jobs
from core.config import Settings

_settings = Settings.from_environ(os.environ)

_HARD_LIMIT_SECONDS = 45
_SWEEP_SECONDS = 5.0
_FOLD_SECONDS = 10.0
_PURGE_TOKENS_SECONDS = 600.0
_PURGE_SECONDS = 3600.0
_SWEEP_ATTACHMENTS_SECONDS = 600.0

broker_url = _settings.redis_url.get_secret_value()
broker_connection_timeout = 2
broker_connection_max_retries = None
broker_connection_retry_on_startup = True
broker_transport_options = {
    # Longer than any job may run; otherwise a job that is being done would be handed out a second time.
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
# A job that kills its process is started anew a few times (`worker.app.Job` says how often and how soon) and then let
# go: the sweeps know what is left to do.
task_retry_on_worker_lost = True
task_soft_time_limit = 30
task_time_limit = _HARD_LIMIT_SECONDS
task_publish_retry = False
task_send_sent_event = True
task_default_queue = jobs.QUEUE_MAINTENANCE
task_routes = {
    jobs.EVENTS_PUBLISH: {"queue": jobs.QUEUE_EVENTS},
    jobs.WEATHER_ENRICH: {"queue": jobs.QUEUE_WEATHER},
    jobs.MAIL_SEND: {"queue": jobs.QUEUE_MAIL},
}

worker_prefetch_multiplier = 1
worker_send_task_events = True
worker_hijack_root_logger = False
worker_redirect_stdouts = False


def _every(seconds: float, task: str) -> dict[str, object]:
    """A periodic job whose messages are void when the next one is due, so that none pile up while no worker runs."""
    return {"task": task, "schedule": seconds, "options": {"expires": seconds}}


beat_schedule = {
    "publish what the wake-ups have missed": _every(_SWEEP_SECONDS, jobs.EVENTS_PUBLISH),
    "find cities whose job was lost or put off": _every(_SWEEP_SECONDS, jobs.WEATHER_SWEEP),
    "tell of reminders and missed deadlines": _every(_SWEEP_SECONDS, jobs.REMINDERS_FIRE),
    "find mails whose job was lost or put off": _every(_SWEEP_SECONDS, jobs.MAIL_SWEEP),
    "fold the analytics": _every(_FOLD_SECONDS, jobs.ANALYTICS_FOLD),
    "purge tokens": _every(_PURGE_TOKENS_SECONDS, jobs.TOKENS_PURGE),
    "purge events": _every(_PURGE_SECONDS, jobs.EVENTS_PURGE),
    "purge notifications": _every(_PURGE_SECONDS, jobs.NOTIFICATIONS_PURGE),
    "sweep up attachments": _every(_SWEEP_ATTACHMENTS_SECONDS, jobs.ATTACHMENTS_SWEEP),
}
