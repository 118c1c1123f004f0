"""Tasks: the collection and one task."""

from urllib.parse import urlencode

from falcon.asgi import Request, Response

from api.bridge import Bridge
from api.operations import document
from api.schemas.tasks import TaskInput, TaskList, TaskListQuery, TaskOut, TaskPatch
from core.policy import Scope
from core.services import tasks
from core.services.tasks import TaskPage


class TaskCollection:
    """The tasks that the caller may read: in an envelope on the versioned path, as a bare array on the other."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    @document(
        summary="Create a task",
        scope=Scope.TASKS_WRITE,
        description="Its weather is brought by a worker; `weather_status` is `pending` until then.",
        body=TaskInput,
        answer=(201, TaskOut),
        headers=("Location",),
        tag="tasks",
    )
    async def on_post(self, req: Request, resp: Response) -> None:
        """Create a task of the caller."""
        actor = req.context.actor
        task_id, task = await self._bridge.run(tasks.create_task, actor, req.context.json.values())
        resp.status = 201
        resp.location = f"{req.path}/{task_id}"
        resp.data = task.encode()

    @document(
        summary="List tasks",
        scope=Scope.TASKS_READ,
        query=TaskListQuery,
        answer=(200, TaskList),
        headers=("Link", "X-Total-Count"),
        tag="tasks",
    )
    async def on_get(self, req: Request, resp: Response) -> None:
        """Answer a page in its envelope."""
        page = await self._page(req, resp)
        query: TaskListQuery = req.context.query
        resp.data = (
            f'{{"items":{page.items},"total":{page.total},"skip":{query.skip},"limit":{query.limit},"next_cursor":null}}'
        ).encode()

    @document(
        summary="List tasks as an array",
        scope=Scope.TASKS_READ,
        query=TaskListQuery,
        answer=(200, list[TaskOut]),
        headers=("Link", "X-Total-Count"),
        tag="tasks",
    )
    async def on_get_array(self, req: Request, resp: Response) -> None:
        """Answer a page as the bare array."""
        page = await self._page(req, resp)
        resp.data = page.items.encode()

    on_post_array = on_post

    async def _page(self, req: Request, resp: Response) -> TaskPage:
        actor = req.context.actor
        query: TaskListQuery = req.context.query
        page = await self._bridge.run(tasks.list_tasks, actor, query.query())
        resp.set_header("X-Total-Count", str(page.total))
        _append_links(req, resp, query, page.total)
        return page


class TaskItem:
    """One task."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    @document(summary="Read a task", scope=Scope.TASKS_READ, answer=(200, TaskOut), errors=(403, 404), tag="tasks")
    async def on_get(self, req: Request, resp: Response, task_id: int) -> None:
        """Answer a task."""
        actor = req.context.actor
        resp.data = (await self._bridge.run(tasks.read_task, actor, task_id)).encode()

    @document(
        summary="Replace a task",
        scope=Scope.TASKS_WRITE,
        description="Writable fields that are left out return to their defaults.",
        body=TaskInput,
        answer=(200, TaskOut),
        errors=(403, 404),
        tag="tasks",
    )
    async def on_put(self, req: Request, resp: Response, task_id: int) -> None:
        """Replace the writable fields."""
        await self._change(req, resp, task_id)

    @document(
        summary="Change a task",
        scope=Scope.TASKS_WRITE,
        description="A JSON merge patch: the fields it names change, and null clears.",
        body=TaskPatch,
        answer=(200, TaskOut),
        errors=(403, 404),
        tag="tasks",
    )
    async def on_patch(self, req: Request, resp: Response, task_id: int) -> None:
        """Change the fields that the patch names."""
        await self._change(req, resp, task_id)

    @document(summary="Delete a task", scope=Scope.TASKS_WRITE, answer=(204, None), errors=(403, 404), tag="tasks")
    async def on_delete(self, req: Request, resp: Response, task_id: int) -> None:
        """Delete a task."""
        actor = req.context.actor
        await self._bridge.run(tasks.delete_task, actor, task_id)
        resp.status = 204

    async def _change(self, req: Request, resp: Response, task_id: int) -> None:
        actor = req.context.actor
        body: TaskInput | TaskPatch = req.context.json
        resp.data = (await self._bridge.run(tasks.update_task, actor, task_id, body.values())).encode()


def _append_links(req: Request, resp: Response, query: TaskListQuery, total: int) -> None:
    """Link to the neighbouring pages (RFC 8288), with the caller's own filters."""
    pages = {"first": 0}
    if query.skip > 0:
        pages["prev"] = max(query.skip - query.limit, 0)
    if query.skip + query.limit < total:
        pages["next"] = query.skip + query.limit
    for relation, skip in pages.items():
        parameters = {**req.params, "skip": skip, "limit": query.limit}
        resp.append_link(f"{req.path}?{urlencode(parameters)}", relation)
