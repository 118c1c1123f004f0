"""What people do around a task: delegate it, comment on it, be reminded of it, look back."""

from falcon.asgi import Request, Response

from api.http.fields import PageQuery
from api.http.idempotency import create
from api.http.operation import document
from api.http.preconditions import answer_version, expected_versions
from api.http.responses import answer_page
from api.http.threads import Bridge
from api.tasks.collaboration_schemas import (
    ActivityList,
    CommentInput,
    CommentList,
    CommentOut,
    DelegationInput,
    DelegationOut,
    ReminderInput,
    ReminderOut,
)
from api.tasks.schemas import TaskOut
from core.policy import Scope
from core.services import activity, comments, delegation, reminders


class Delegations:
    """The way of a task from one to the next."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    @document(
        summary="Pass a task on",
        scope=Scope.TASKS_WRITE,
        description="For its assignee, and for who may assign it.",
        body=DelegationInput,
        answer=(200, TaskOut),
        headers=("ETag",),
        errors=(403, 404, 412),
        tag="tasks",
    )
    async def on_post_delegate(self, req: Request, resp: Response, task_id: int) -> None:
        """Pass a task on."""
        body: DelegationInput = req.context.json
        passed_on = await self._bridge.run(
            delegation.delegate_task, req.context.actor, task_id, body.assignee_id, body.note, expected_versions(req)
        )
        answer_version(req, resp, passed_on)

    @document(
        summary="List a task's delegations",
        scope=Scope.TASKS_READ,
        answer=(200, list[DelegationOut]),
        errors=(403, 404),
        tag="tasks",
    )
    async def on_get(self, req: Request, resp: Response, task_id: int) -> None:
        """Answer the trail."""
        resp.data = (await self._bridge.run(delegation.list_delegations, req.context.actor, task_id)).items.encode()


class CommentCollection:
    """The comments on a task."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    @document(
        summary="Comment on a task",
        scope=Scope.TASKS_WRITE,
        body=CommentInput,
        answer=(201, CommentOut),
        headers=("Location",),
        errors=(403, 404),
        idempotent=True,
        tag="comments",
    )
    async def on_post(self, req: Request, resp: Response, task_id: int) -> None:
        """Say something."""
        await create(
            self._bridge, req, resp, comments.create_comment, req.context.actor, task_id, req.context.json.body
        )

    @document(
        summary="List a task's comments",
        scope=Scope.TASKS_READ,
        query=PageQuery,
        answer=(200, CommentList),
        headers=("X-Total-Count",),
        errors=(403, 404),
        tag="comments",
    )
    async def on_get(self, req: Request, resp: Response, task_id: int) -> None:
        """Answer a page of comments."""
        query: PageQuery = req.context.query
        page = await self._bridge.run(comments.list_comments, req.context.actor, task_id, query.skip, query.limit)
        answer_page(resp, page, query)


class CommentItem:
    """One comment."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    @document(
        summary="Change a comment",
        scope=Scope.TASKS_WRITE,
        body=CommentInput,
        answer=(200, CommentOut),
        errors=(403, 404),
        tag="comments",
    )
    async def on_patch(self, req: Request, resp: Response, task_id: int, comment_id: int) -> None:
        """Say it in other words."""
        actor, body = req.context.actor, req.context.json.body
        changed = await self._bridge.run(comments.change_comment, actor, task_id, comment_id, body)
        resp.data = changed.json.encode()

    @document(
        summary="Delete a comment", scope=Scope.TASKS_WRITE, answer=(204, None), errors=(403, 404), tag="comments"
    )
    async def on_delete(self, req: Request, resp: Response, task_id: int, comment_id: int) -> None:
        """Take a comment away."""
        await self._bridge.run(comments.delete_comment, req.context.actor, task_id, comment_id)
        resp.status = 204


class ReminderCollection:
    """The reminders of a task."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    @document(
        summary="Set a reminder",
        scope=Scope.TASKS_WRITE,
        description="For all who own or have the task: at a time, or before the deadline, wherever that moves.",
        body=ReminderInput,
        answer=(201, ReminderOut),
        headers=("Location",),
        errors=(403, 404),
        idempotent=True,
        tag="reminders",
    )
    async def on_post(self, req: Request, resp: Response, task_id: int) -> None:
        """Set a reminder."""
        body: ReminderInput = req.context.json
        when = (body.remind_at, body.seconds_before_due)
        await create(self._bridge, req, resp, reminders.create_reminder, req.context.actor, task_id, *when)

    @document(
        summary="List a task's reminders",
        scope=Scope.TASKS_READ,
        answer=(200, list[ReminderOut]),
        errors=(403, 404),
        tag="reminders",
    )
    async def on_get(self, req: Request, resp: Response, task_id: int) -> None:
        """Answer the reminders, the next one first."""
        resp.data = (await self._bridge.run(reminders.list_reminders, req.context.actor, task_id)).items.encode()


class ReminderItem:
    """One reminder."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    @document(
        summary="Take a reminder back", scope=Scope.TASKS_WRITE, answer=(204, None), errors=(403, 404), tag="reminders"
    )
    async def on_delete(self, req: Request, resp: Response, task_id: int, reminder_id: int) -> None:
        """Take a reminder back."""
        await self._bridge.run(reminders.delete_reminder, req.context.actor, task_id, reminder_id)
        resp.status = 204


class Activity:
    """The history of a task."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    @document(
        summary="Read a task's history",
        scope=Scope.TASKS_READ,
        query=PageQuery,
        answer=(200, ActivityList),
        headers=("X-Total-Count",),
        errors=(403, 404),
        tag="tasks",
    )
    async def on_get(self, req: Request, resp: Response, task_id: int) -> None:
        """Answer a page of the history, the newest entry first."""
        query: PageQuery = req.context.query
        page = await self._bridge.run(activity.read_activity, req.context.actor, task_id, query.skip, query.limit)
        answer_page(resp, page, query)
