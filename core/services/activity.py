"""The history of a task: who did what, and which field went from what to what.

It is written with every event of the task (`core.events.record_task`) and stays as long as the task does.
"""

from core.policy import Actor
from core.representations import Page, fetch_page
from core.services.task_access import require_readable

_READ = """
SELECT coalesce(json_agg(page ORDER BY page.id DESC), '[]')::text,
       (SELECT count(*) FROM task_activity WHERE task_id = %(task_id)s)
FROM (SELECT id, at, type, actor_id, changes FROM task_activity
      WHERE task_id = %(task_id)s ORDER BY id DESC OFFSET %(skip)s LIMIT %(limit)s) page
"""


def read_activity(actor: Actor, task_id: int, skip: int, limit: int) -> Page:
    """Answer a page of a task's history.

    Raises:
        NotFound, Forbidden: as `require_readable()` does.
    """
    require_readable(actor, task_id)
    return fetch_page(_READ, {"task_id": task_id, "skip": skip, "limit": limit})
