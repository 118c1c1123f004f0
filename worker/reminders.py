"""Jobs of reminders and deadlines."""

from core import jobs
from core.services import reminders
from worker.app import app


@app.task(name=jobs.REMINDERS_FIRE)  # type: ignore[untyped-decorator]  # Celery ships no types.
def fire() -> dict[str, int]:
    """Tell of the reminders and the missed deadlines whose time has come."""
    return {"reminders": reminders.fire_reminders(), "overdue": reminders.tell_overdue()}
