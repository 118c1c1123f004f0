"""Tasks: the collection, one task, and many changes at once."""

from typing import Any
from urllib.parse import urlencode

from falcon.asgi import Request, Response

from api.http.errors import describe_failure
from api.http.idempotency import create, run_once
from api.http.operation import document
from api.http.preconditions import answer_version, expected_versions, set_etag
from api.http.threads import Bridge
from api.tasks.bulk_schemas import BulkAnswer, BulkRequest
from api.tasks.schemas import TaskInput, TaskList, TaskListQuery, TaskOut, TaskPatch
from core.errors import Failure
from core.policy import Scope
from core.services import bulk, task_lists, tasks
from core.services.task_lists import TaskPage


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
        headers=("Location", "ETag"),
        idempotent=True,
        tag="tasks",
    )
    async def on_post(self, req: Request, resp: Response) -> None:
        """Create a task of the caller."""
        fields = req.context.json.values()
        set_etag(resp, await create(self._bridge, req, resp, tasks.create_task, req.context.actor, fields))

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
        cursor = "null" if page.next_cursor is None else f'"{page.next_cursor}"'
        resp.data = (
            f'{{"items":{page.items},"total":{page.total},"skip":{query.skip},"limit":{query.limit},'
            f'"next_cursor":{cursor}}}'
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
        page = await self._bridge.run(task_lists.list_tasks, actor, query.query())
        resp.set_header("X-Total-Count", str(page.total))
        _append_links(req, resp, query, page)
        return page


class TaskItem:
    """One task."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    @document(
        summary="Read a task",
        scope=Scope.TASKS_READ,
        answer=(200, TaskOut),
        headers=("ETag",),
        errors=(403, 404),
        tag="tasks",
    )
    async def on_get(self, req: Request, resp: Response, task_id: int) -> None:
        """Answer a task."""
        answer_version(req, resp, await self._bridge.run(tasks.read_task, req.context.actor, task_id))

    @document(
        summary="Replace a task",
        scope=Scope.TASKS_WRITE,
        description="Writable fields that are left out return to their defaults.",
        body=TaskInput,
        answer=(200, TaskOut),
        headers=("ETag",),
        errors=(403, 404, 412),
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
        headers=("ETag",),
        errors=(403, 404, 412),
        tag="tasks",
    )
    async def on_patch(self, req: Request, resp: Response, task_id: int) -> None:
        """Change the fields that the patch names."""
        await self._change(req, resp, task_id)

    @document(summary="Delete a task", scope=Scope.TASKS_WRITE, answer=(204, None), errors=(403, 404, 412), tag="tasks")
    async def on_delete(self, req: Request, resp: Response, task_id: int) -> None:
        """Delete a task."""
        await self._bridge.run(tasks.delete_task, req.context.actor, task_id, expected_versions(req))
        resp.status = 204

    async def _change(self, req: Request, resp: Response, task_id: int) -> None:
        body: TaskInput | TaskPatch = req.context.json
        expected = expected_versions(req)
        changed = await self._bridge.run(tasks.update_task, req.context.actor, task_id, body.values(), expected)
        answer_version(req, resp, changed)


class TaskBulk:
    """Many changes at once."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    @document(
        summary="Change many tasks",
        scope=Scope.TASKS_WRITE,
        description="Up to 100 operations, each with a result of its own, or with `atomic` all or none: then the "
        "failure of one is the answer, and its `operation` is the number of it, from 0.",
        body=BulkRequest,
        answer=(200, BulkAnswer),
        errors=(403, 404, 412),
        idempotent=True,
        tag="tasks",
    )
    async def on_post(self, req: Request, resp: Response) -> None:
        """Carry out all operations."""
        body: BulkRequest = req.context.json
        operations = [operation.operation() for operation in body.operations]

        def describe(failure: Failure) -> dict[str, Any]:
            problem = describe_failure(req, failure)
            return {"status": problem["status"], "problem": problem}

        actor = req.context.actor
        answer = await run_once(self._bridge, req, resp, bulk.change_tasks, actor, operations, body.atomic, describe)
        resp.data = answer.json.encode()


def _append_links(req: Request, resp: Response, query: TaskListQuery, page: TaskPage) -> None:
    """Link to the neighbouring pages (RFC 8288), with the caller's own filters."""
    if query.cursor is not None:
        if page.next_cursor is not None:
            _append_link(req, resp, "next", {"cursor": page.next_cursor})
        return
    pages = {"first": 0}
    if query.skip > 0:
        pages["prev"] = max(query.skip - query.limit, 0)
    if query.skip + query.limit < page.total:
        pages["next"] = query.skip + query.limit
    for relation, skip in pages.items():
        _append_link(req, resp, relation, {"skip": skip, "limit": query.limit})


def _append_link(req: Request, resp: Response, relation: str, place: dict[str, Any]) -> None:
    resp.append_link(f"{req.path}?{urlencode({**req.params, **place})}", relation)
