"""Groups: people who share tasks, and the managers who decide who belongs to them."""

from datetime import UTC, datetime

from core import events
from core.db import read, unit_of_work
from core.errors import FieldError, Forbidden, Invalid, NotFound
from core.messages import msg
from core.models.base import json_object
from core.models.group import Group, GroupMember
from core.models.task import Task
from core.policy import Actor, GroupAccess, may_create_group, may_manage_group, may_read_group
from core.representations import Page, Representation, fetch_page, page_statement
from core.services import audit
from core.services.accounts import lock_active_account
from core.services.quotas import exceeded, lock_user
from core.services.tasks import member_ids, save

# A username may be the email too, which other members may not see. So only the part before the @ is shown.
_MEMBERS = """(
    SELECT coalesce(json_agg(json_build_object('user_id', m.user_id, 'username', split_part(u.username, '@', 1),
                                               'is_manager', m.is_manager, 'joined_at', m.joined_at)
                             ORDER BY m.joined_at, m.user_id), '[]')
    FROM group_members m JOIN users u ON u.id = m.user_id WHERE m.group_id = groups.id
) AS members"""
_GROUP_JSON = json_object([*Group.visible_columns(), _MEMBERS])

_READ = f"SELECT {_GROUP_JSON}::text FROM groups WHERE id = %(group_id)s"

_ACCESS = """
SELECT (SELECT is_manager FROM group_members WHERE group_id = groups.id AND user_id = %(actor_id)s)
FROM groups WHERE id = %(group_id)s
"""

_VISIBLE = page_statement(
    Group,
    where="(%(is_admin)s OR EXISTS (SELECT FROM group_members WHERE group_id = groups.id AND user_id = %(actor_id)s))",
    order="id",
    json=_GROUP_JSON,
)


def create_group(actor: Actor, name: str, quota: int) -> Representation:
    """Create a group that the caller manages.

    Raises:
        Forbidden: if the caller is neither a manager nor an admin.
        TooLarge: if there are `quota` groups that the caller has made.
    """
    if not may_create_group(actor):
        raise Forbidden(msg("Only managers and admins make groups."), code="group_forbidden")
    with unit_of_work():
        lock_user(actor)
        if Group.select().where(Group.creator_id == actor.user_id).count() >= quota:
            raise exceeded(msg("You may make at most {quota} groups. Delete some.", quota=quota))
        group_id = Group.insert(name=name, creator_id=actor.user_id).execute()
        GroupMember.insert(group_id=group_id, user_id=actor.user_id, is_manager=True).execute()
        audit.record(audit.MEMBER_PUT, user_id=actor.user_id, group_id=group_id, is_manager=True)
        return _representation(group_id)


def list_groups(actor: Actor, skip: int, limit: int) -> Page:
    """Read a page of the groups that the caller may see: those they belong to, or all for an admin."""
    return fetch_page(_VISIBLE, skip, limit, is_admin=actor.is_admin, actor_id=actor.user_id)


def read_group(actor: Actor, group_id: int) -> Representation:
    """Read a group with its members.

    Raises:
        NotFound: if there is no such group, or the caller does not belong to it.
    """
    if not may_read_group(actor, _access(actor, group_id)):
        raise _not_found()
    return _representation(group_id)


def rename_group(actor: Actor, group_id: int, name: str) -> Representation:
    """Rename a group.

    Raises:
        NotFound, Forbidden: if the caller does not see the group, or does not manage it.
    """
    with unit_of_work():
        require_manager(actor, group_id)
        Group.update(name=name, updated_at=datetime.now(UTC)).where(Group.id == group_id).execute()
        return _representation(group_id)


def delete_group(actor: Actor, group_id: int) -> None:
    """Delete a group. Its tasks stay with their owners and assignees.

    Raises:
        NotFound, Forbidden: if the caller does not see the group, or does not manage it.
    """
    with unit_of_work():
        require_manager(actor, group_id)
        for task in Task.select(Task.id).where(Task.group_id == group_id).order_by(Task.id).for_update():
            save(task.id, {"group_id": None}, actor.user_id, {"group_id": (group_id, None)})
        _record_removal(actor, group_id, member_ids(group_id))
        Group.delete().where(Group.id == group_id).execute()


def put_member(actor: Actor, group_id: int, user_id: int, *, is_manager: bool) -> Representation:
    """Add an account to a group, or change whether it manages the group.

    Raises:
        NotFound, Forbidden: if the caller does not see the group, or does not manage it.
        Invalid: if there is no such active account.
    """
    with unit_of_work():
        require_manager(actor, group_id)
        if not lock_active_account(user_id):
            raise Invalid([FieldError("user_id", msg("There is no active account with this id."))])
        GroupMember.insert(group_id=group_id, user_id=user_id, is_manager=is_manager).on_conflict(
            conflict_target=[GroupMember.user_id, GroupMember.group_id], update={GroupMember.is_manager: is_manager}
        ).execute()
        audit.record(
            audit.MEMBER_PUT, actor_id=actor.user_id, user_id=user_id, group_id=group_id, is_manager=is_manager
        )
        return _representation(group_id)


def require_manager(actor: Actor, group_id: int) -> None:
    """Check that the caller manages a group, and lock the group for the running unit of work.

    Raises:
        NotFound, Forbidden: if the caller does not see the group, or does not manage it.
    """
    Group.select().where(Group.id == group_id).for_update().get_or_none()
    access = _access(actor, group_id)
    if not may_read_group(actor, access):
        raise _not_found()
    if not may_manage_group(actor, access):
        raise Forbidden(msg("Only the group's managers may do this."), code="group_forbidden")


def is_member(group_id: int, user_id: int) -> bool:
    """Whether an account belongs to a group; the caller has a connection."""
    membership = (GroupMember.group_id == group_id) & (GroupMember.user_id == user_id)
    return bool(GroupMember.select().where(membership).exists())


def remove_member(actor: Actor, group_id: int, user_id: int) -> None:
    """Remove an account from a group; members may also remove themselves.

    Raises:
        NotFound: if the caller does not see the group, or that account does not belong to it.
        Forbidden: if the caller removes another account and does not manage the group.
    """
    with unit_of_work():
        if user_id == actor.user_id:
            read_group(actor, group_id)
        else:
            require_manager(actor, group_id)
        member = GroupMember.delete().where(GroupMember.group_id == group_id, GroupMember.user_id == user_id)
        if not member.execute():
            raise NotFound(msg("This account does not belong to the group."), code="member_not_found")
        _record_removal(actor, group_id, [user_id])


def _record_removal(actor: Actor, group_id: int, user_ids: list[int]) -> None:
    for user_id in user_ids:
        audit.record(audit.MEMBER_REMOVED, actor_id=actor.user_id, user_id=user_id, group_id=group_id)
    events.record_access_lost(user_ids)


def _access(actor: Actor, group_id: int) -> GroupAccess:
    row = read(_ACCESS, {"group_id": group_id, "actor_id": actor.user_id}).fetch_one()
    if row is None:
        raise _not_found()
    (is_manager,) = row
    return GroupAccess(is_member=is_manager is not None, is_manager=bool(is_manager))


def _representation(group_id: int) -> Representation:
    row = read(_READ, {"group_id": group_id}).fetch_one()
    if row is None:
        raise _not_found()
    return Representation(group_id, row[0])


def _not_found() -> NotFound:
    return NotFound(msg("There is no such group."), code="group_not_found")
