"""Jobs of reminders and deadlines."""

from core import jobs
from core.services import reminders
from worker.app import app


@app.task(name=jobs.REMINDERS_FIRE, quiet=True)  # type: ignore[untyped-decorator]  # Celery ships no types.
def fire() -> int:
    """Tell of the reminders and the missed deadlines whose time has come, and answer of how many."""
    return reminders.fire_reminders() + reminders.notify_overdue()
