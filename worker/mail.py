"""Jobs of the mails."""

from core import jobs
from core.mail import Mailer
from core.services import mail
from worker.app import app, send_overdue, settings

_mailer = Mailer(settings)


@app.task(name=jobs.MAIL_SEND)  # type: ignore[untyped-decorator]  # Celery ships no types.
def send(notification_id: int) -> None:
    """Send the mail of one notification."""
    if _mailer.is_configured:
        mail.send_mail(
            _mailer, notification_id, first_wait=settings.mail_retry_seconds, most_attempts=settings.mail_attempts
        )


@app.task(name=jobs.MAIL_SWEEP, quiet=True)  # type: ignore[untyped-decorator]  # Celery ships no types.
def sweep() -> None:
    """Send jobs for mails that wait although their turn has come."""
    if not _mailer.is_configured:
        mail.discard_mails()
    else:
        send_overdue(jobs.MAIL_SEND, jobs.QUEUE_MAIL, mail.overdue_mails)
