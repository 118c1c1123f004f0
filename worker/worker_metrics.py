"""The metrics of a worker: its child processes count, and the process that has forked them exports the sums."""

import os
from typing import Any, Final

from billiard import current_process
from celery.signals import worker_init, worker_process_init

from core import jobs, metrics
from core.config import Settings
from core.metrics.export import Counted, start_export

_children: Final[list[metrics.Memory]] = []


def connect(settings: Settings) -> None:
    """Do this when Celery starts a worker and its child processes."""

    def prepare(sender: Any, **_: Any) -> None:
        # "auto" means a number that is not known yet, but is not higher than this.
        count = sender.concurrency if isinstance(sender.concurrency, int) else os.cpu_count() or 1
        _children.extend(metrics.Memory() for _ in range(count))
        for job in jobs.ALL:
            for outcome in metrics.JOB_OUTCOMES:
                metrics.JOB_SECONDS.begin(job.name, outcome)
        for outcome in metrics.MAIL_OUTCOMES:
            metrics.MAILS.begin(outcome)
        start_export(settings, "worker", Counted([metrics.memory(), *_children]))

    # Celery keeps only weak references to functions otherwise.
    worker_init.connect(prepare, weak=False)
    worker_process_init.connect(_count_as_child)


def _count_as_child(**_: Any) -> None:
    """Count in the memory of this child. A child that replaces another one has the same index."""
    metrics.count_in(_children[current_process().index])
