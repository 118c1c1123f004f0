"""Functions that create test data through the services, with defaults for everything that a test does not need."""

from datetime import timedelta
from typing import Any

import orjson

from core.policy import Actor, Role
from core.security import hash_password
from core.services import accounts, groups, sessions, tasks
from core.services.sessions import Client

PASSWORD = "correct horse battery"
BCRYPT_ROUNDS = 4
QUOTA = 1_000_000
_PASSWORD_HASH = hash_password(PASSWORD, BCRYPT_ROUNDS)


def create_actor(name: str, role: Role = Role.USER) -> Actor:
    """Create an account with an open session. Its password is `PASSWORD`.

    Its email is `<name>@example.com` and verified.
    """
    profile = accounts.register(
        username=name,
        email=f"{name}@example.com",
        full_name=name.title(),
        password_hash=_PASSWORD_HASH,
        role=role,
        is_verified=True,
    )
    grant = sessions.open_session(profile.id, Client("127.0.0.1", "tests"), timedelta(days=1))
    return Actor(profile.id, role, grant.session_id)


def create_task(actor: Actor, **fields: Any) -> int:
    """Create a task of this user and return its id."""
    return tasks.create_task(actor, {"title": "Clean the gutters"} | fields, QUOTA).id


def read_task(actor: Actor, task_id: int) -> dict[str, Any]:
    """Return the task as this user sees it."""
    task: dict[str, Any] = orjson.loads(tasks.read_task(actor, task_id).json)
    return task


def update_task(actor: Actor, task_id: int, **changes: Any) -> dict[str, Any]:
    """Change the task and return the changed task."""
    task: dict[str, Any] = orjson.loads(tasks.update_task(actor, task_id, changes).json)
    return task


def create_group(
    admin: Actor, name: str = "Roofers", *, members: tuple[Actor, ...] = (), managers: tuple[Actor, ...] = ()
) -> int:
    """Create a group that this admin manages, with these members and further managers, and return its id."""
    group_id = groups.create_group(admin, name, QUOTA).id
    for member in members:
        groups.put_member(admin, group_id, member.user_id, is_manager=False)
    for manager in managers:
        groups.put_member(admin, group_id, manager.user_id, is_manager=True)
    return group_id
