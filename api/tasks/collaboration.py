"""Delegations, comments, reminders and the history of a task."""

from typing import Final

from api.http.fields import ListOf, PageQuery
from api.http.idempotency import Repeatable
from api.http.operation import operation
from api.http.preconditions import ExpectedVersions
from api.http.resource import Resource
from api.http.routing import both
from api.tasks.collaboration_schemas import (
    ActivityEntry,
    CommentInput,
    CommentOut,
    DelegationInput,
    DelegationOut,
    ReminderInput,
    ReminderOut,
)
from api.tasks.schemas import TaskOut
from core.policy import Actor, Scope
from core.representations import Listing, Page, Representation
from core.services import activity, comments, delegation, reminders


class Delegations(Resource):
    """The delegations of a task."""

    @operation(200, TaskOut, tag="tasks", scope=Scope.TASKS_WRITE, headers=("ETag",), errors=(403, 404))
    async def on_post_delegate(
        self, actor: Actor, task_id: int, body: DelegationInput, expected: ExpectedVersions
    ) -> Representation:
        """Delegate a task.

        The assignee may do this, and everybody who may assign the task.
        """
        return await self.bridge.run(delegation.delegate_task, actor, task_id, body.assignee_id, body.note, expected)

    @operation(200, list[DelegationOut], tag="tasks", scope=Scope.TASKS_READ, errors=(403, 404))
    async def on_get(self, actor: Actor, task_id: int) -> Listing:
        """List a task's delegations."""
        return await self.bridge.run(delegation.list_delegations, actor, task_id)


class CommentCollection(Resource):
    """The comments on a task."""

    @operation(201, CommentOut, tag="comments", scope=Scope.TASKS_WRITE, headers=("Location",), errors=(403, 404))
    async def on_post(self, actor: Actor, task_id: int, body: CommentInput, request: Repeatable) -> Representation:
        """Comment on a task."""
        quota = self.settings.comments_per_user
        return await request.run_once(self.bridge, comments.create_comment, actor, task_id, body.body, quota)

    @operation(
        200,
        ListOf[CommentOut],
        tag="comments",
        scope=Scope.TASKS_READ,
        headers=("X-Total-Count",),
        errors=(403, 404),
    )
    async def on_get(self, actor: Actor, task_id: int, query: PageQuery) -> Page:
        """List a task's comments."""
        return await self.bridge.run(comments.list_comments, actor, task_id, query.skip, query.limit)


class CommentItem(Resource):
    """One comment."""

    @operation(200, CommentOut, tag="comments", scope=Scope.TASKS_WRITE, errors=(403, 404))
    async def on_patch(self, actor: Actor, task_id: int, comment_id: int, body: CommentInput) -> Representation:
        """Change a comment."""
        return await self.bridge.run(comments.change_comment, actor, task_id, comment_id, body.body)

    @operation(204, tag="comments", scope=Scope.TASKS_WRITE, errors=(403, 404))
    async def on_delete(self, actor: Actor, task_id: int, comment_id: int) -> None:
        """Delete a comment."""
        await self.bridge.run(comments.delete_comment, actor, task_id, comment_id)


class ReminderCollection(Resource):
    """The reminders of a task."""

    @operation(201, ReminderOut, tag="reminders", scope=Scope.TASKS_WRITE, headers=("Location",), errors=(403, 404))
    async def on_post(self, actor: Actor, task_id: int, body: ReminderInput, request: Repeatable) -> Representation:
        """Set a reminder.

        At a time, or some time before the deadline; then it moves with the deadline. It reminds the owner and the
        assignee, or the members of the group if there is no assignee.
        """
        return await request.run_once(
            self.bridge, reminders.create_reminder, actor, task_id, body.remind_at, body.seconds_before_due
        )

    @operation(200, list[ReminderOut], tag="reminders", scope=Scope.TASKS_READ, errors=(403, 404))
    async def on_get(self, actor: Actor, task_id: int) -> Listing:
        """List a task's reminders."""
        return await self.bridge.run(reminders.list_reminders, actor, task_id)


class ReminderItem(Resource):
    """One reminder."""

    @operation(204, tag="reminders", scope=Scope.TASKS_WRITE, errors=(403, 404))
    async def on_delete(self, actor: Actor, task_id: int, reminder_id: int) -> None:
        """Delete a reminder."""
        await self.bridge.run(reminders.delete_reminder, actor, task_id, reminder_id)


class Activity(Resource):
    """The history of a task."""

    @operation(
        200,
        ListOf[ActivityEntry],
        tag="tasks",
        scope=Scope.TASKS_READ,
        headers=("X-Total-Count",),
        errors=(403, 404),
    )
    async def on_get(self, actor: Actor, task_id: int, query: PageQuery) -> Page:
        """Read a task's history."""
        return await self.bridge.run(activity.read_activity, actor, task_id, query.skip, query.limit)


_TASK: Final = "/tasks/{task_id:id}"

ROUTES: Final = [
    *both(f"{_TASK}/delegate", Delegations, "delegate"),
    *both(f"{_TASK}/delegations", Delegations),
    *both(f"{_TASK}/comments", CommentCollection),
    *both(f"{_TASK}/comments/{{comment_id:id}}", CommentItem),
    *both(f"{_TASK}/reminders", ReminderCollection),
    *both(f"{_TASK}/reminders/{{reminder_id:id}}", ReminderItem),
    *both(f"{_TASK}/activity", Activity),
]
