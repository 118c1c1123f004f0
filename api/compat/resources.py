"""The routes of an earlier API, which had names of its own: they rename, and leave the work to the same functions."""

from typing import Any, Final

import orjson
from falcon.asgi import Request, Response

from api.accounts.resources import LogIn, Register
from api.accounts.schemas import LoginForm, TokenGrant
from api.compat.schemas import (
    EarlierPageQuery,
    EarlierRegistration,
    EarlierTaskChange,
    EarlierTaskInput,
    EarlierTaskOut,
    EarlierUserOut,
)
from api.http.idempotency import run_once
from api.http.operation import document
from api.http.threads import Bridge
from core.policy import Actor, Scope
from core.representations import Representation
from core.services import accounts, task_lists, tasks
from core.services.task_lists import TaskQuery

_TAG: Final = "earlier API"


class EarlierUsers:
    """Where accounts are made."""

    def __init__(self, register: Register) -> None:
        self._register = register

    @document(
        summary="Register an account",
        body=EarlierRegistration,
        answer=(201, EarlierUserOut),
        errors=(400,),
        tag=_TAG,
        public=True,
    )
    async def on_post(self, req: Request, resp: Response) -> None:
        """Create an account."""
        body: EarlierRegistration = req.context.json
        profile = await self._register.register(body.email, body.email, body.name, body.password)
        resp.status = 201
        resp.data = _user(profile)


class EarlierUser:
    """One account, as those who have to do with it see it."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    @document(
        summary="Read who somebody is",
        description="Oneself, or somebody with whom one shares a task; for admins everybody. Others are not found.",
        answer=(200, EarlierUserOut),
        errors=(404,),
        tag=_TAG,
    )
    async def on_get(self, req: Request, resp: Response, user_id: int) -> None:
        """Answer an account."""
        resp.data = _user(await self._bridge.run(accounts.read_known_profile, req.context.actor, user_id))


class EarlierLogin:
    """Where a password becomes tokens."""

    def __init__(self, log_in: LogIn) -> None:
        self._log_in = log_in

    @document(
        summary="Log in",
        description="Takes the form of the OAuth 2 password flow. The username may be the email.",
        form=LoginForm,
        answer=(200, TokenGrant),
        errors=(401,),
        tag=_TAG,
        public=True,
    )
    async def on_post(self, req: Request, resp: Response) -> None:
        """Check a password and begin a session."""
        await self._log_in.log_in(req, resp, req.context.json)


class EarlierTasks:
    """The tasks that the caller may read; new ones come in under a path of their own."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    @document(
        summary="List tasks",
        description="The newest first.",
        scope=Scope.TASKS_READ,
        query=EarlierPageQuery,
        answer=(200, list[EarlierTaskOut]),
        headers=("X-Total-Count",),
        tag=_TAG,
    )
    async def on_get(self, req: Request, resp: Response) -> None:
        """Answer a page as the bare array."""
        query: EarlierPageQuery = req.context.query
        page = await self._bridge.run(
            task_lists.list_tasks, req.context.actor, TaskQuery(skip=query.skip, limit=query.limit)
        )
        resp.set_header("X-Total-Count", str(page.total))
        resp.data = orjson.dumps([_renamed(task) for task in orjson.loads(page.items)])

    @document(
        summary="Create a task",
        scope=Scope.TASKS_WRITE,
        body=EarlierTaskInput,
        answer=(201, EarlierTaskOut),
        idempotent=True,
        tag=_TAG,
    )
    async def on_post_in_tasks(self, req: Request, resp: Response) -> None:
        """Create a task of the caller."""
        body: EarlierTaskInput = req.context.json
        task = await run_once(self._bridge, req, resp, tasks.create_task, req.context.actor, body.columns())
        resp.status = 201
        resp.data = _task(task)


class EarlierTask:
    """One task."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    @document(summary="Read a task", scope=Scope.TASKS_READ, answer=(200, EarlierTaskOut), errors=(403, 404), tag=_TAG)
    async def on_get(self, req: Request, resp: Response, task_id: int) -> None:
        """Answer a task."""
        resp.data = _task(await self._bridge.run(tasks.read_task, req.context.actor, task_id))

    @document(
        summary="Change a task",
        description="What is left out stays as it is. A task that is no longer `completed` is to do again.",
        scope=Scope.TASKS_WRITE,
        body=EarlierTaskChange,
        answer=(200, EarlierTaskOut),
        errors=(403, 404),
        tag=_TAG,
    )
    async def on_put_in_tasks(self, req: Request, resp: Response, task_id: int) -> None:
        """Change the fields that the body names."""
        actor: Actor = req.context.actor
        body: EarlierTaskChange = req.context.json
        changes = body.columns() | await self._status(actor, task_id, completed=body.completed)
        resp.data = _task(await self._bridge.run(tasks.update_task, actor, task_id, changes))

    @document(
        summary="Delete a task",
        description="Answers what it was.",
        scope=Scope.TASKS_WRITE,
        answer=(200, EarlierTaskOut),
        errors=(403, 404),
        tag=_TAG,
    )
    async def on_delete(self, req: Request, resp: Response, task_id: int) -> None:
        """Delete a task."""
        resp.data = _task(await self._bridge.run(tasks.delete_task, req.context.actor, task_id))

    on_delete_in_tasks = on_delete

    async def _status(self, actor: Actor, task_id: int, *, completed: bool | None) -> dict[str, str]:
        """The change of the status that `completed` stands for; a task in progress is not completed anyhow."""
        if completed is None:
            return {}
        if completed:
            return {"status": "done"}
        task = orjson.loads((await self._bridge.run(tasks.read_task, actor, task_id)).json)
        return {"status": "todo"} if task["completed"] else {}


def _user(profile: dict[str, Any]) -> bytes:
    return EarlierUserOut.renamed(profile).model_dump_json().encode()


def _task(task: Representation) -> bytes:
    return orjson.dumps(_renamed(orjson.loads(task.json)))


def _renamed(task: dict[str, Any]) -> dict[str, Any]:
    return task | {"due_date": task["due_at"], "creation_date": task["created_at"]}
