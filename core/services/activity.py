"""The history of a task: who did what, and which field changed from which value to which.

It is written with every event of the task (`core.events.record_task`) and is deleted with the task.
"""

from core.models.collaboration import TaskActivity
from core.policy import Actor
from core.representations import Page, fetch_page, page_statement
from core.services.task_access import require_readable

_OF_TASK = page_statement(TaskActivity, where="task_id = %(task_id)s", order="id DESC")


def read_activity(actor: Actor, task_id: int, skip: int, limit: int) -> Page:
    """Read a page of a task's history, the newest entry first.

    Raises:
        NotFound, Forbidden: as `require_readable()` raises them.
    """
    require_readable(actor, task_id)
    return fetch_page(_OF_TASK, skip, limit, task_id=task_id)
