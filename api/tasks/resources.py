"""Tasks: the list of tasks, single tasks, and bulk changes."""

from typing import Any, Final

import orjson

from api.http.errors import FailureDescriber
from api.http.idempotency import Repeatable
from api.http.operation import operation
from api.http.preconditions import ExpectedVersions
from api.http.resource import Resource
from api.http.routing import both, unversioned, versioned
from api.tasks.bulk_schemas import BulkAnswer, BulkRequest
from api.tasks.list_schemas import TaskArrayQuery, TaskList, TaskListQuery
from api.tasks.schemas import TaskInput, TaskOut, TaskPatch, TaskReplacement
from core.errors import Failure
from core.policy import Actor, Scope
from core.representations import CursorPage, Representation
from core.services import bulk, task_lists, tasks
from core.services.bulk import TaskChange


class TaskCollection(Resource):
    """The tasks that the caller may read: in an envelope under the API's prefix, as a bare array without the prefix."""

    @operation(201, TaskOut, tag="tasks", scope=Scope.TASKS_WRITE, headers=("Location", "ETag"))
    async def on_post(self, actor: Actor, body: TaskInput, request: Repeatable) -> Representation:
        """Create a task.

        A worker fetches the weather of its city later; until then `weather_status` is `pending`.
        """
        return await request.run_once(
            self.bridge, tasks.create_task, actor, body.values(), self.settings.tasks_per_user
        )

    @operation(200, TaskList, tag="tasks", scope=Scope.TASKS_READ, headers=("Link", "X-Total-Count"))
    async def on_get(self, actor: Actor, query: TaskListQuery) -> CursorPage:
        """List tasks."""
        return await self.bridge.run(task_lists.list_tasks, actor, query.query(actor.zone))

    @operation(200, list[TaskOut], tag="tasks", scope=Scope.TASKS_READ, headers=("Link", "X-Total-Count"))
    async def on_get_array(self, actor: Actor, query: TaskArrayQuery) -> CursorPage:
        """List tasks as an array."""
        return await self.bridge.run(task_lists.list_tasks, actor, query.query(actor.zone))

    on_post_array = on_post


class TaskItem(Resource):
    """One task."""

    @operation(200, TaskOut, tag="tasks", scope=Scope.TASKS_READ, headers=("ETag",), errors=(403, 404))
    async def on_get(self, actor: Actor, task_id: int) -> Representation:
        """Read a task."""
        return await self.bridge.run(tasks.read_task, actor, task_id)

    @operation(200, TaskOut, tag="tasks", scope=Scope.TASKS_WRITE, headers=("ETag",), errors=(403, 404))
    async def on_put(
        self, actor: Actor, task_id: int, body: TaskReplacement, expected: ExpectedVersions
    ) -> Representation:
        """Change a task, with its title.

        The title is required. The fields in the body are changed, and null clears a field. Other fields keep their
        values.
        """
        return await self.bridge.run(tasks.update_task, actor, task_id, body.values(), expected)

    @operation(200, TaskOut, tag="tasks", scope=Scope.TASKS_WRITE, headers=("ETag",), errors=(403, 404))
    async def on_patch(self, actor: Actor, task_id: int, body: TaskPatch, expected: ExpectedVersions) -> Representation:
        """Change a task.

        The body is a JSON merge patch: the fields in it are changed, and null clears a field.
        """
        return await self.bridge.run(tasks.update_task, actor, task_id, body.values(), expected)

    @operation(204, tag="tasks", scope=Scope.TASKS_WRITE, errors=(403, 404))
    async def on_delete(self, actor: Actor, task_id: int, expected: ExpectedVersions) -> None:
        """Delete a task."""
        await self.bridge.run(tasks.delete_task, actor, task_id, expected)


class TaskBulk(Resource):
    """Bulk changes of tasks."""

    @operation(200, BulkAnswer, tag="tasks", scope=Scope.TASKS_WRITE, weight=5, places=4, errors=(403, 404, 412))
    async def on_post(
        self, actor: Actor, body: BulkRequest, request: Repeatable, describe_failure: FailureDescriber
    ) -> Representation:
        """Change many tasks.

        Up to 100 operations, each with a result of its own. With `atomic`, either all are carried out or none: if one
        fails, the response is its problem document, in which `operation` is its number, counted from 0.
        """

        def describe(change: TaskChange, outcome: Representation | Failure) -> dict[str, Any]:
            if isinstance(outcome, Failure):
                problem = describe_failure(outcome)
                return {"status": problem["status"], "problem": problem}
            return {"status": 201 if change.kind == "create" else 200, "task": orjson.Fragment(outcome.json)}

        changes = [operation.change() for operation in body.operations]
        quota = self.settings.tasks_per_user
        return await request.run_once(self.bridge, bulk.change_tasks, actor, changes, body.atomic, quota, describe)


ROUTES: Final = [
    *versioned("/tasks", TaskCollection),
    *unversioned("/tasks", TaskCollection, "array"),
    *both("/tasks/bulk", TaskBulk),
    *both("/tasks/{task_id:id}", TaskItem),
]
