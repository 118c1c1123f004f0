"""Groups and their members."""

from falcon.asgi import Request, Response

from api.groups.schemas import GroupInput, GroupList, GroupOut, MemberInput
from api.http.fields import PageQuery
from api.http.idempotency import create
from api.http.operation import document
from api.http.responses import answer_page
from api.http.threads import Bridge
from core.policy import Scope
from core.services import groups


class GroupCollection:
    """The groups that the caller belongs to, or all for an admin."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    @document(
        summary="Make a group",
        scope=Scope.TASKS_WRITE,
        description="For managers and admins, who become its first manager.",
        body=GroupInput,
        answer=(201, GroupOut),
        headers=("Location",),
        errors=(403,),
        idempotent=True,
        tag="groups",
    )
    async def on_post(self, req: Request, resp: Response) -> None:
        """Make a group."""
        await create(self._bridge, req, resp, groups.create_group, req.context.actor, req.context.json.name)

    @document(
        summary="List groups",
        scope=Scope.TASKS_READ,
        query=PageQuery,
        answer=(200, GroupList),
        headers=("X-Total-Count",),
        tag="groups",
    )
    async def on_get(self, req: Request, resp: Response) -> None:
        """Answer a page of groups."""
        query: PageQuery = req.context.query
        page = await self._bridge.run(groups.list_groups, req.context.actor, query.skip, query.limit)
        answer_page(resp, page, query)


class GroupItem:
    """One group."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    @document(summary="Read a group", scope=Scope.TASKS_READ, answer=(200, GroupOut), errors=(404,), tag="groups")
    async def on_get(self, req: Request, resp: Response, group_id: int) -> None:
        """Answer a group."""
        resp.data = (await self._bridge.run(groups.read_group, req.context.actor, group_id)).json.encode()

    @document(
        summary="Rename a group",
        scope=Scope.TASKS_WRITE,
        body=GroupInput,
        answer=(200, GroupOut),
        errors=(403, 404),
        tag="groups",
    )
    async def on_patch(self, req: Request, resp: Response, group_id: int) -> None:
        """Give a group another name."""
        actor, name = req.context.actor, req.context.json.name
        resp.data = (await self._bridge.run(groups.rename_group, actor, group_id, name)).json.encode()

    @document(
        summary="Delete a group",
        scope=Scope.TASKS_WRITE,
        description="Its tasks stay with their owners and assignees.",
        answer=(204, None),
        errors=(403, 404),
        tag="groups",
    )
    async def on_delete(self, req: Request, resp: Response, group_id: int) -> None:
        """Delete a group."""
        await self._bridge.run(groups.delete_group, req.context.actor, group_id)
        resp.status = 204


class GroupMemberItem:
    """Somebody's place in a group."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    @document(
        summary="Put somebody into a group",
        scope=Scope.TASKS_WRITE,
        description="Or change whether they manage it.",
        body=MemberInput,
        body_optional=True,
        answer=(200, GroupOut),
        errors=(403, 404),
        tag="groups",
    )
    async def on_put(self, req: Request, resp: Response, group_id: int, user_id: int) -> None:
        """Put somebody into a group."""
        actor, is_manager = req.context.actor, req.context.json.is_manager
        group = await self._bridge.run(groups.put_member, actor, group_id, user_id, is_manager=is_manager)
        resp.data = group.json.encode()

    @document(
        summary="Take somebody out of a group",
        scope=Scope.TASKS_WRITE,
        description="Anybody may leave.",
        answer=(204, None),
        errors=(403, 404),
        tag="groups",
    )
    async def on_delete(self, req: Request, resp: Response, group_id: int, user_id: int) -> None:
        """Take somebody out of a group."""
        await self._bridge.run(groups.remove_member, req.context.actor, group_id, user_id)
        resp.status = 204
