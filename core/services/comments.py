"""What people say about a task."""

from core import events
from core.db import read, unit_of_work, write
from core.errors import Forbidden, NotFound
from core.messages import msg
from core.policy import Actor, may_change_comment, may_delete_comment, may_read_task
from core.representations import Page, Representation, fetch_page
from core.services.notifications import COMMENTED, notify
from core.services.task_access import require_access, require_readable

_COMMENT_JSON = """(SELECT row_to_json(fields) FROM (
    SELECT c.id, c.task_id, c.user_id, c.body, c.created_at, c.updated_at) fields)"""

_CREATE = f"""
WITH c AS (INSERT INTO comments (task_id, user_id, body) VALUES (%(task_id)s, %(user_id)s, %(body)s) RETURNING *)
SELECT c.id, {_COMMENT_JSON}::text FROM c
"""

_CHANGE = f"""
WITH c AS (UPDATE comments SET body = %(body)s, updated_at = now() WHERE id = %(comment_id)s RETURNING *)
SELECT c.id, {_COMMENT_JSON}::text FROM c
"""

_LIST = f"""
SELECT coalesce(json_agg({_COMMENT_JSON} ORDER BY c.id), '[]')::text,
       (SELECT count(*) FROM comments WHERE task_id = %(task_id)s)
FROM (SELECT * FROM comments WHERE task_id = %(task_id)s ORDER BY id OFFSET %(skip)s LIMIT %(limit)s) c
"""

_AUTHOR = "SELECT user_id FROM comments WHERE id = %(comment_id)s AND task_id = %(task_id)s FOR UPDATE"


def create_comment(actor: Actor, task_id: int, body: str) -> Representation:
    """Say something about a task that the caller may read.

    Raises:
        NotFound, Forbidden: as `require_readable()` does.
    """
    with unit_of_work():
        require_access(actor, task_id, may_read_task, hold=True)
        values = {"task_id": task_id, "user_id": actor.user_id, "body": body}
        created = write(_CREATE, values).fetch_exactly_one()
        comment = {"id": created[0], "user_id": actor.user_id, "body": body}
        events.record_task(events.TASK_COMMENTED, task_id, actor.user_id, more={"comment": comment})
        notify(COMMENTED, task_id, actor.user_id, said=body)
    return Representation(*created)


def list_comments(actor: Actor, task_id: int, skip: int, limit: int) -> Page:
    """Answer a page of a task's comments.

    Raises:
        NotFound, Forbidden: as `require_readable()` does.
    """
    require_readable(actor, task_id)
    return fetch_page(_LIST, {"task_id": task_id, "skip": skip, "limit": limit})


def change_comment(actor: Actor, task_id: int, comment_id: int, body: str) -> Representation:
    """Say it in other words.

    Raises:
        NotFound, Forbidden: as `require_readable()` does; also where there is no such comment, or it is someone else's.
    """
    with unit_of_work():
        require_readable(actor, task_id)
        if not may_change_comment(actor, _author(task_id, comment_id)):
            raise Forbidden(msg("Only its author may change a comment."), code="comment_forbidden")
        changed = write(_CHANGE, {"comment_id": comment_id, "body": body}).fetch_exactly_one()
    return Representation(*changed)


def delete_comment(actor: Actor, task_id: int, comment_id: int) -> None:
    """Take a comment away.

    Raises:
        NotFound, Forbidden: as `require_readable()` does; also where there is no such comment, or it is someone else's.
    """
    with unit_of_work():
        access = require_readable(actor, task_id)
        if not may_delete_comment(actor, access, _author(task_id, comment_id)):
            raise Forbidden(msg("Only its author and the task's owner may delete a comment."), code="comment_forbidden")
        write("DELETE FROM comments WHERE id = %(comment_id)s", {"comment_id": comment_id})


def _author(task_id: int, comment_id: int) -> int | None:
    row = read(_AUTHOR, {"task_id": task_id, "comment_id": comment_id}).fetch_one()
    if row is None:
        raise NotFound(msg("There is no such comment."), code="comment_not_found")
    author_id: int | None = row[0]
    return author_id
