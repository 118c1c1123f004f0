"""Permissions: pure functions over plain values, without the database. docs/permissions.md shows them as tables.

`Task.visible_to()` is `may_read_task()` in SQL, and so are, for lists, the parts `Task.OWNED`, `Task.ASSIGNED` and
`Task.SHARED` together. A test compares them.
"""

from dataclasses import dataclass
from enum import StrEnum
from zoneinfo import ZoneInfo


class Scope(StrEnum):
    """What a personal access token may be used for."""

    TASKS_READ = "tasks:read"
    TASKS_WRITE = "tasks:write"
    ANALYTICS_READ = "analytics:read"
    EVENTS_READ = "events:read"
    ADMIN = "admin"


class Role(StrEnum):
    """The role of an account."""

    USER = "user"
    MANAGER = "manager"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Actor:
    """The caller: an account, the session that its token belongs to, and the scopes that the token is limited to.

    `scopes` is None after a login: then the caller may do all that the account may. `locale` and `timezone` are the
    profile's.
    """

    user_id: int
    role: Role
    session_id: int
    scopes: frozenset[str] | None = None
    locale: str = "en"
    timezone: str = "UTC"

    @property
    def zone(self) -> ZoneInfo:
        """The caller's time zone."""
        return ZoneInfo(self.timezone)

    @property
    def is_admin(self) -> bool:
        """Whether the caller may do everything: an admin who has logged in, or whose token has the scope `admin`."""
        return self.role is Role.ADMIN and (self.scopes is None or Scope.ADMIN in self.scopes)


def missing_scope(actor: Actor, scope: Scope) -> bool:
    """Whether the caller's token is limited to other scopes than this."""
    return actor.scopes is not None and scope not in actor.scopes


@dataclass(frozen=True, slots=True)
class TaskAccess:
    """What the permissions of a task depend on: its owner and assignee, and the caller's role in its group."""

    owner_id: int
    assignee_id: int | None
    in_group: bool = False
    manages_group: bool = False


def may_read_task(actor: Actor, task: TaskAccess) -> bool:
    """The owner, the assignee, the members of the task's group and admins may read a task."""
    return actor.is_admin or task.in_group or actor.user_id in {task.owner_id, task.assignee_id}


def may_update_task(actor: Actor, task: TaskAccess) -> bool:
    """Everybody who may read a task may also change it."""
    return may_read_task(actor, task)


def may_assign_task(actor: Actor, task: TaskAccess) -> bool:
    """The owner, the managers of the task's group and admins may change its assignee and its group."""
    return actor.is_admin or task.manages_group or actor.user_id == task.owner_id


def may_delegate_task(actor: Actor, task: TaskAccess) -> bool:
    """The assignee may delegate a task, and so may those who may assign it."""
    return actor.user_id == task.assignee_id or may_assign_task(actor, task)


def may_delete_task(actor: Actor, task: TaskAccess) -> bool:
    """Only the owner and admins may delete a task."""
    return actor.is_admin or actor.user_id == task.owner_id


def may_change_comment(actor: Actor, author_id: int | None) -> bool:
    """Only its author may change a comment."""
    return actor.user_id == author_id


def may_delete_comment(actor: Actor, task: TaskAccess, author_id: int | None) -> bool:
    """The author, the task's owner and admins may delete a comment."""
    return may_change_comment(actor, author_id) or may_delete_task(actor, task)


def may_create_group(actor: Actor) -> bool:
    """Managers and admins may create groups."""
    return actor.is_admin or actor.role is Role.MANAGER


def may_invite(actor: Actor) -> bool:
    """Managers and admins may invite people to register. Into a group, those may invite who may manage the group."""
    return actor.is_admin or actor.role is Role.MANAGER


@dataclass(frozen=True, slots=True)
class GroupAccess:
    """Whether the caller belongs to a group, and whether they manage it."""

    is_member: bool
    is_manager: bool


def may_read_group(actor: Actor, group: GroupAccess) -> bool:
    """The members of a group and admins may see it."""
    return actor.is_admin or group.is_member


def may_manage_group(actor: Actor, group: GroupAccess) -> bool:
    """The managers of a group and admins may rename it, delete it and change its members."""
    return actor.is_admin or group.is_manager


def may_see_account(actor: Actor, user_id: int, *, shares_task: bool) -> bool:
    """Users may see themselves and those with whom they share a task; admins may see all.

    Two people share a task if one has assigned it to the other, and the other has worked on it or is the one who asks.
    """
    return actor.is_admin or actor.user_id == user_id or shares_task


def may_see_email(actor: Actor, user_id: int) -> bool:
    """Users may see their own email, admins everybody's.

    It is not enough to share a task: anybody can do that by assigning a task to the other user.
    """
    return actor.is_admin or actor.user_id == user_id


def may_delete_attachment(actor: Actor, task: TaskAccess, uploader_id: int) -> bool:
    """The uploader, the task's owner and admins may delete an attachment."""
    return actor.is_admin or actor.user_id in {task.owner_id, uploader_id}


def may_administer(actor: Actor) -> bool:
    """Admins may manage accounts and read the audit log."""
    return actor.is_admin


def sees_all_analytics(actor: Actor) -> bool:
    """Admins see the figures of all users, others only their own."""
    return actor.is_admin
