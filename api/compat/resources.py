"""The routes of an earlier API. They only rename fields, and call the same use cases as the other routes."""

from typing import Any, Final

import orjson
from falcon.asgi import Request, Response

from api.accounts.logins import CallingClient, LoginResource
from api.accounts.registration import RegistrationResource
from api.accounts.schemas import LoginForm, TokenGrant
from api.compat.schemas import (
    EarlierRegistration,
    EarlierTaskChange,
    EarlierTaskInput,
    EarlierTaskOut,
    EarlierUserOut,
)
from api.http.bodies import ANONYMOUS_BODY_BYTES
from api.http.fields import ArrayQuery
from api.http.idempotency import Repeatable
from api.http.languages import ReaderLanguage
from api.http.operation import RateLimit, operation
from api.http.resource import Resource
from api.http.routing import unversioned
from core.policy import Actor, Scope
from core.representations import Page, Representation
from core.services import accounts, task_lists, tasks
from core.services.task_lists import TaskQuery

_TAG: Final = "earlier API"


class EarlierUsers(RegistrationResource):
    """The registration of accounts."""

    @operation(
        201,
        EarlierUserOut,
        tag=_TAG,
        public=True,
        max_body=ANONYMOUS_BODY_BYTES,
        rate_limit=RateLimit.CREDENTIALS,
        errors=(400, 403),
    )
    async def on_post(self, body: EarlierRegistration, language: ReaderLanguage) -> dict[str, Any]:
        """Register an account."""
        profile = await self.register(
            username=body.email,
            email=body.email,
            full_name=body.name,
            password=body.password,
            language=language,
            invitation=body.invitation,
            accepts_weak_password=True,
        )
        return _user(orjson.loads(profile.json))


class EarlierUser(Resource):
    """One account with the fields that users who share a task with it may read."""

    @operation(200, EarlierUserOut, tag=_TAG, errors=(404,))
    async def on_get(self, actor: Actor, user_id: int) -> dict[str, Any]:
        """Read an account.

        Your own account, or that of a user with whom you share a task. Admins may read every account. Otherwise the
        response is 404.
        """
        return _user(await self.bridge.run(accounts.read_known_profile, actor, user_id))


class EarlierLogin(LoginResource):
    """The login."""

    @operation(
        200,
        TokenGrant,
        tag=_TAG,
        public=True,
        max_body=ANONYMOUS_BODY_BYTES,
        rate_limit=RateLimit.CREDENTIALS,
        errors=(401,),
    )
    async def on_post(self, req: Request, resp: Response, body: LoginForm, client: CallingClient) -> dict[str, Any]:
        """Log in.

        Takes the form of the OAuth 2 password flow. The username may be the email.
        """
        return await self.log_in(req, resp, body.identifier, body.password, client)


class EarlierTasks(Resource):
    """The tasks that the caller may read. New tasks are created under a different path."""

    @operation(200, list[EarlierTaskOut], tag=_TAG, scope=Scope.TASKS_READ, headers=("X-Total-Count",))
    async def on_get(self, actor: Actor, query: ArrayQuery) -> Page:
        """List tasks.

        The newest first.
        """
        page = await self.bridge.run(task_lists.list_tasks, actor, TaskQuery(skip=query.skip, limit=query.limit))
        renamed = [_renamed(task) for task in orjson.loads(page.items)]
        return Page(orjson.dumps(renamed).decode(), page.total)

    @operation(201, EarlierTaskOut, tag=_TAG, scope=Scope.TASKS_WRITE)
    async def on_post_in_tasks(self, actor: Actor, body: EarlierTaskInput, request: Repeatable) -> dict[str, Any]:
        """Create a task."""
        quota = self.settings.tasks_per_user
        return _task(await request.run_once(self.bridge, tasks.create_task, actor, body.columns(), quota))


class EarlierTask(Resource):
    """One task."""

    @operation(200, EarlierTaskOut, tag=_TAG, scope=Scope.TASKS_READ, errors=(403, 404))
    async def on_get(self, actor: Actor, task_id: int) -> dict[str, Any]:
        """Read a task."""
        return _task(await self.bridge.run(tasks.read_task, actor, task_id))

    @operation(200, EarlierTaskOut, tag=_TAG, scope=Scope.TASKS_WRITE, errors=(403, 404))
    async def on_put_in_tasks(self, actor: Actor, task_id: int, body: EarlierTaskChange) -> dict[str, Any]:
        """Change a task.

        Fields that are not in the body keep their values. `completed: false` gives a completed task the status `todo`.
        """
        return _task(await self.bridge.run(tasks.update_task, actor, task_id, body.columns()))

    @operation(200, EarlierTaskOut, tag=_TAG, scope=Scope.TASKS_WRITE, errors=(403, 404))
    async def on_delete(self, actor: Actor, task_id: int) -> dict[str, Any]:
        """Delete a task.

        The response is the task as it was before.
        """
        return _task(await self.bridge.run(tasks.delete_task, actor, task_id))

    on_delete_in_tasks = on_delete


def _user(profile: dict[str, Any]) -> dict[str, Any]:
    return EarlierUserOut.renamed(profile).model_dump()


def _task(task: Representation) -> dict[str, Any]:
    return _renamed(orjson.loads(task.json))


def _renamed(task: dict[str, Any]) -> dict[str, Any]:
    return task | {"due_date": task["due_at"], "creation_date": task["created_at"]}


ROUTES: Final = [
    *unversioned("/user", EarlierUsers),
    *unversioned("/user/{user_id:id}", EarlierUser),
    *unversioned("/login", EarlierLogin),
    *unversioned("/task", EarlierTasks),
    *unversioned("/task/tasks", EarlierTasks, "in_tasks"),
    *unversioned("/task/{task_id:id}", EarlierTask),
    *unversioned("/task/tasks/{task_id:id}", EarlierTask, "in_tasks"),
]
