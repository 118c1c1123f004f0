"""Jobs of the attachments."""

from core import jobs
from core.services import attachments
from core.storage import storage_for
from worker.app import app, settings

_storage = storage_for(settings)


@app.task(name=jobs.ATTACHMENTS_SWEEP)  # type: ignore[untyped-decorator]  # Celery ships no types.
def sweep() -> int:
    """Remove stored files that belong to nothing any more."""
    return attachments.sweep(_storage)
