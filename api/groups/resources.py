"""Groups and their members."""

from typing import Final

from api.groups.schemas import GroupInput, GroupOut, MemberInput
from api.http.fields import ListOf, PageQuery
from api.http.idempotency import Repeatable
from api.http.operation import operation
from api.http.resource import Resource
from api.http.routing import versioned
from core.policy import Actor, Scope
from core.representations import Page, Representation
from core.services import groups


class GroupCollection(Resource):
    """The groups that the caller belongs to, or all for an admin."""

    @operation(201, GroupOut, tag="groups", scope=Scope.TASKS_WRITE, headers=("Location",), errors=(403,))
    async def on_post(self, actor: Actor, body: GroupInput, request: Repeatable) -> Representation:
        """Create a group.

        Only managers and admins may create groups. Whoever creates a group becomes its first manager.
        """
        return await request.run_once(self.bridge, groups.create_group, actor, body.name, self.settings.groups_per_user)

    @operation(200, ListOf[GroupOut], tag="groups", scope=Scope.TASKS_READ, headers=("X-Total-Count",))
    async def on_get(self, actor: Actor, query: PageQuery) -> Page:
        """List groups."""
        return await self.bridge.run(groups.list_groups, actor, query.skip, query.limit)


class GroupItem(Resource):
    """One group."""

    @operation(200, GroupOut, tag="groups", scope=Scope.TASKS_READ, errors=(404,))
    async def on_get(self, actor: Actor, group_id: int) -> Representation:
        """Read a group."""
        return await self.bridge.run(groups.read_group, actor, group_id)

    @operation(200, GroupOut, tag="groups", scope=Scope.TASKS_WRITE, errors=(403, 404))
    async def on_patch(self, actor: Actor, group_id: int, body: GroupInput) -> Representation:
        """Rename a group."""
        return await self.bridge.run(groups.rename_group, actor, group_id, body.name)

    @operation(204, tag="groups", scope=Scope.TASKS_WRITE, errors=(403, 404))
    async def on_delete(self, actor: Actor, group_id: int) -> None:
        """Delete a group.

        Its tasks are not deleted; they keep their owners and assignees.
        """
        await self.bridge.run(groups.delete_group, actor, group_id)


class GroupMemberItem(Resource):
    """The membership of one user in a group."""

    @operation(200, GroupOut, tag="groups", scope=Scope.TASKS_WRITE, body_optional=True, errors=(403, 404))
    async def on_put(self, actor: Actor, group_id: int, user_id: int, body: MemberInput) -> Representation:
        """Add a user to a group.

        For a user who is already a member, this changes whether the user is a manager of the group.
        """
        return await self.bridge.run(groups.put_member, actor, group_id, user_id, is_manager=body.is_manager)

    @operation(204, tag="groups", scope=Scope.TASKS_WRITE, errors=(403, 404))
    async def on_delete(self, actor: Actor, group_id: int, user_id: int) -> None:
        """Remove a user from a group.

        Every member may remove themselves.
        """
        await self.bridge.run(groups.remove_member, actor, group_id, user_id)


ROUTES: Final = [
    *versioned("/groups", GroupCollection),
    *versioned("/groups/{group_id:id}", GroupItem),
    *versioned("/groups/{group_id:id}/members/{user_id:id}", GroupMemberItem),
]
