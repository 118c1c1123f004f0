"""Jobs of tokens and sessions."""

from core import jobs
from core.services import retention
from worker.app import app


@app.task(name=jobs.TOKENS_PURGE)  # type: ignore[untyped-decorator]  # Celery ships no types.
def purge() -> dict[str, int]:
    """Remove tickets and sessions that have ended."""
    return retention.purge_tokens()
