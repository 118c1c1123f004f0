"""Jobs of notifications."""

from core import jobs
from core.services import retention
from worker.app import app, settings


@app.task(name=jobs.NOTIFICATIONS_PURGE)  # type: ignore[untyped-decorator]  # Celery ships no types.
def purge() -> int:
    """Remove notifications past their retention."""
    return retention.purge_notifications(settings.notification_retention_days)
