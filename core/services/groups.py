"""Groups: people who share tasks, and the managers who say who belongs to them."""

from datetime import UTC, datetime

from core import events
from core.db import read, unit_of_work
from core.errors import FieldError, Forbidden, Invalid, NotFound
from core.messages import msg
from core.models import Group, GroupMember, Task
from core.policy import Actor, GroupAccess, may_create_group, may_manage_group, may_read_group
from core.representations import Page, Representation, fetch_page
from core.services.accounts import lock_active_account
from core.services.tasks import save

# A username may be the email as well, which is for nobody else to see.
_GROUP_JSON = """(SELECT row_to_json(fields) FROM (SELECT
    g.id, g.name, g.created_at, g.updated_at, (
        SELECT coalesce(json_agg(json_build_object('user_id', m.user_id, 'username', split_part(u.username, '@', 1),
                                          'is_manager', m.is_manager, 'joined_at', m.joined_at)
                        ORDER BY m.joined_at, m.user_id), '[]')
        FROM group_members m JOIN users u ON u.id = m.user_id WHERE m.group_id = g.id
    ) AS members
) fields)"""

_READ = f"SELECT {_GROUP_JSON}::text FROM groups g WHERE g.id = %(group_id)s"

_VISIBLE = "(%(is_admin)s OR EXISTS (SELECT FROM group_members WHERE group_id = g.id AND user_id = %(actor_id)s))"

_LIST = f"""
SELECT coalesce(json_agg({_GROUP_JSON} ORDER BY g.id), '[]')::text,
       (SELECT count(*) FROM groups g WHERE {_VISIBLE})
FROM (SELECT * FROM groups g WHERE {_VISIBLE} ORDER BY g.id OFFSET %(skip)s LIMIT %(limit)s) g
"""


def create_group(actor: Actor, name: str) -> Representation:
    """Make a group that the caller manages.

    Raises:
        Forbidden: where the caller is neither a manager nor an admin.
    """
    if not may_create_group(actor):
        raise Forbidden(msg("Only managers and admins make groups."), code="group_forbidden")
    with unit_of_work():
        group_id = Group.insert(name=name).execute()
        GroupMember.insert(group_id=group_id, user_id=actor.user_id, is_manager=True).execute()
        return _document(group_id)


def list_groups(actor: Actor, skip: int, limit: int) -> Page:
    """The groups that the caller may see: those they belong to, or all for an admin."""
    return fetch_page(_LIST, {"is_admin": actor.is_admin, "actor_id": actor.user_id, "skip": skip, "limit": limit})


def read_group(actor: Actor, group_id: int) -> Representation:
    """Read a group with its members.

    Raises:
        NotFound: where there is no such group, or the caller does not belong to it.
    """
    if not may_read_group(actor, _access(actor, group_id)):
        raise _not_found()
    return _document(group_id)


def rename_group(actor: Actor, group_id: int, name: str) -> Representation:
    """Give a group another name.

    Raises:
        NotFound, Forbidden: where the caller does not see the group, or does not manage it.
    """
    with unit_of_work():
        _require_manager(actor, group_id)
        Group.update(name=name, updated_at=datetime.now(UTC)).where(Group.id == group_id).execute()
        return _document(group_id)


def delete_group(actor: Actor, group_id: int) -> None:
    """Delete a group. Its tasks stay with their owners and assignees.

    Raises:
        NotFound, Forbidden: where the caller does not see the group, or does not manage it.
    """
    with unit_of_work():
        _require_manager(actor, group_id)
        for task in Task.select(Task.id).where(Task.group_id == group_id).order_by(Task.id).for_update():
            save(task.id, {"group_id": None})
            events.record_task(events.TASK_UPDATED, task.id, actor.user_id, changes={"group_id": (group_id, None)})
        Group.delete().where(Group.id == group_id).execute()


def put_member(actor: Actor, group_id: int, user_id: int, *, is_manager: bool) -> Representation:
    """Take somebody into a group, or change their place in it.

    Raises:
        NotFound, Forbidden: where the caller does not see the group, or does not manage it.
        Invalid: where there is no such active account.
    """
    with unit_of_work():
        _require_manager(actor, group_id)
        if not lock_active_account(user_id):
            raise Invalid([FieldError("user_id", msg("There is no active account with this id."))])
        GroupMember.insert(group_id=group_id, user_id=user_id, is_manager=is_manager).on_conflict(
            conflict_target=[GroupMember.user_id, GroupMember.group_id], update={GroupMember.is_manager: is_manager}
        ).execute()
        return _document(group_id)


def remove_member(actor: Actor, group_id: int, user_id: int) -> None:
    """Take somebody out of a group; anybody may leave.

    Raises:
        NotFound: where the caller does not see the group, or that account does not belong to it.
        Forbidden: where the caller neither manages the group nor leaves it.
    """
    with unit_of_work():
        if user_id == actor.user_id:
            read_group(actor, group_id)
        else:
            _require_manager(actor, group_id)
        member = GroupMember.delete().where(GroupMember.group_id == group_id, GroupMember.user_id == user_id)
        if not member.execute():
            raise NotFound(msg("This account does not belong to the group."), code="member_not_found")


def _require_manager(actor: Actor, group_id: int) -> None:
    """Lock a group for the running unit of work, if the caller manages it."""
    Group.select().where(Group.id == group_id).for_update().get_or_none()
    access = _access(actor, group_id)
    if not may_read_group(actor, access):
        raise _not_found()
    if not may_manage_group(actor, access):
        raise Forbidden(msg("Only the group's managers may do this."), code="group_forbidden")


def _access(actor: Actor, group_id: int) -> GroupAccess:
    row = read(
        "SELECT (SELECT is_manager FROM group_members WHERE group_id = g.id AND user_id = %(actor_id)s)"
        " FROM groups g WHERE g.id = %(group_id)s",
        {"group_id": group_id, "actor_id": actor.user_id},
    ).fetch_one()
    if row is None:
        raise _not_found()
    return GroupAccess(is_member=row[0] is not None, is_manager=bool(row[0]))


def _document(group_id: int) -> Representation:
    row = read(_READ, {"group_id": group_id}).fetch_one()
    if row is None:
        raise _not_found()
    return Representation(group_id, row[0])


def _not_found() -> NotFound:
    return NotFound(msg("There is no such group."), code="group_not_found")
