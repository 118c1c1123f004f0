"""Jobs of the event log."""

from core import jobs
from core.services import publication, retention
from worker.app import app, redis, settings


@app.task(name=jobs.EVENTS_PUBLISH, quiet=True)  # type: ignore[untyped-decorator]  # Celery ships no types.
def publish() -> int:
    """Publish what has been committed, and send the jobs that follow from it."""
    return publication.publish(redis, settings.event_stream_length, _dispatch)


@app.task(name=jobs.EVENTS_PURGE)  # type: ignore[untyped-decorator]  # Celery ships no types.
def purge() -> int:
    """Remove events past their retention."""
    return retention.purge_events(settings.event_retention_days)


def _dispatch(job: publication.Job) -> None:
    app.send_task(job.name, job.arguments, headers={"request_id": job.request_id})
