"""Jobs of the analytics."""

from typing import Final

from core import jobs
from core.services import analytics
from worker.app import app

_BATCH: Final = 5000
_BATCHES: Final = 20


@app.task(name=jobs.ANALYTICS_FOLD, quiet=True)  # type: ignore[untyped-decorator]  # Celery ships no types.
def fold() -> None:
    """Fold what has changed into the rollups, up to a bound that leaves the rest to the next run."""
    for _ in range(_BATCHES):
        if analytics.fold(_BATCH) < _BATCH:
            return
