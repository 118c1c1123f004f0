"""Comments on tasks."""

from peewee import fn

from core import events
from core.db import unit_of_work
from core.errors import Forbidden, NotFound
from core.messages import msg
from core.models.collaboration import Comment
from core.policy import Actor, may_change_comment, may_delete_comment, may_read_task
from core.representations import Page, Representation, fetch_page, page_statement, write_one
from core.services.notifications import COMMENTED, notify
from core.services.quotas import comments_are_full, exceeded
from core.services.task_access import require_access, require_readable

_OF_TASK = page_statement(Comment, where="task_id = %(task_id)s", order="id")


def create_comment(actor: Actor, task_id: int, body: str, quota: int) -> Representation:
    """Comment on a task that the caller may read.

    Raises:
        NotFound, Forbidden: as `require_readable()` raises them.
        TooLarge: if the caller has written `quota` comments that have not been deleted.
    """
    with unit_of_work():
        require_access(actor, task_id, may_read_task, lock=True)
        if comments_are_full(actor, quota):
            raise exceeded(msg("You may have at most {quota} comments. Delete some.", quota=quota))
        created = write_one(Comment.insert(task_id=task_id, user_id=actor.user_id, body=body))
        comment = {"id": created.id, "user_id": actor.user_id, "body": body}
        events.record_task(events.TASK_COMMENTED, task_id, actor.user_id, more={"comment": comment})
        notify(COMMENTED, task_id, actor.user_id, said=body)
    return created


def list_comments(actor: Actor, task_id: int, skip: int, limit: int) -> Page:
    """Read a page of a task's comments, the oldest first.

    Raises:
        NotFound, Forbidden: as `require_readable()` raises them.
    """
    require_readable(actor, task_id)
    return fetch_page(_OF_TASK, skip, limit, task_id=task_id)


def change_comment(actor: Actor, task_id: int, comment_id: int, body: str) -> Representation:
    """Replace the text of a comment.

    Raises:
        NotFound, Forbidden: as `require_readable()` raises them; NotFound also if the task has no such comment, and
            Forbidden if the caller may not do this.
    """
    with unit_of_work():
        require_readable(actor, task_id)
        if not may_change_comment(actor, _locked(task_id, comment_id).user_id):
            raise Forbidden(msg("Only its author may change a comment."), code="comment_forbidden")
        return write_one(Comment.update(body=body, updated_at=fn.now()).where(Comment.id == comment_id))


def delete_comment(actor: Actor, task_id: int, comment_id: int) -> None:
    """Delete a comment.

    Raises:
        NotFound, Forbidden: as `require_readable()` raises them; NotFound also if the task has no such comment, and
            Forbidden if the caller may not do this.
    """
    with unit_of_work():
        access = require_readable(actor, task_id)
        if not may_delete_comment(actor, access, _locked(task_id, comment_id).user_id):
            raise Forbidden(msg("Only its author and the task's owner may delete a comment."), code="comment_forbidden")
        Comment.delete().where(Comment.id == comment_id).execute()


def _locked(task_id: int, comment_id: int) -> Comment:
    query = Comment.select().where(Comment.id == comment_id, Comment.task_id == task_id)
    comment: Comment | None = query.for_update().get_or_none()
    if comment is None:
        raise NotFound(msg("There is no such comment."), code="comment_not_found")
    return comment
