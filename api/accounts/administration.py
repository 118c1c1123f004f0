"""The administration of accounts, and what one may do with one's own."""

import orjson
from falcon.asgi import Request, Response

from api.accounts.administration_schemas import (
    AccountChange,
    AccountDeletion,
    AccountExport,
    AccountList,
    AccountQuery,
    AuditList,
    AuditQuery,
)
from api.accounts.resources import leave, require_current_password
from api.accounts.schemas import Profile
from api.http.auth import Authenticator
from api.http.operation import document
from api.http.responses import answer_page
from api.http.threads import Bridge
from core.errors import Forbidden
from core.messages import msg
from core.policy import Actor, Scope, may_administer
from core.services import administration, audit


def require_admin(req: Request) -> Actor:
    """The caller, if it is an admin."""
    actor: Actor = req.context.actor
    if not may_administer(actor):
        raise Forbidden(msg("This needs an admin."), code="admin_required")
    return actor


class AccountCollection:
    """All accounts, for admins."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    @document(
        summary="List accounts",
        scope=Scope.ADMIN,
        query=AccountQuery,
        answer=(200, AccountList),
        headers=("X-Total-Count",),
        errors=(403,),
        tag="administration",
    )
    async def on_get(self, req: Request, resp: Response) -> None:
        """Answer a page of accounts."""
        require_admin(req)
        query: AccountQuery = req.context.query
        page = await self._bridge.run(
            administration.list_accounts, query.q, query.role, query.is_active, query.skip, query.limit
        )
        answer_page(resp, page, query)


class AccountItem:
    """One account, for admins."""

    def __init__(self, bridge: Bridge, authenticator: Authenticator) -> None:
        self._bridge = bridge
        self._authenticator = authenticator

    @document(
        summary="Read an account", scope=Scope.ADMIN, answer=(200, Profile), errors=(403, 404), tag="administration"
    )
    async def on_get(self, req: Request, resp: Response, user_id: int) -> None:
        """Answer an account."""
        require_admin(req)
        resp.data = orjson.dumps(await self._bridge.run(administration.read_account, user_id))

    @document(
        summary="Change an account",
        scope=Scope.ADMIN,
        description="Its role, and whether it is active. Either change ends the account's sessions.",
        body=AccountChange,
        answer=(200, Profile),
        errors=(403, 404, 409),
        tag="administration",
    )
    async def on_patch(self, req: Request, resp: Response, user_id: int) -> None:
        """Change an account."""
        actor = require_admin(req)
        changes = req.context.json.columns()
        profile, ended = await self._bridge.run(administration.change_account, actor, user_id, changes)
        self._authenticator.forget(ended)
        resp.data = orjson.dumps(profile)

    @document(
        summary="Delete an account",
        scope=Scope.ADMIN,
        description="Its tasks are deleted with it; tasks of others that were assigned to it are assigned to nobody.",
        answer=(204, None),
        errors=(403, 404, 409),
        tag="administration",
    )
    async def on_delete(self, req: Request, resp: Response, user_id: int) -> None:
        """Delete an account."""
        actor = require_admin(req)
        self._authenticator.forget(await self._bridge.run(administration.delete_account, actor, user_id))
        resp.status = 204


class OwnAccount:
    """What is kept about the caller, and the way out."""

    def __init__(self, bridge: Bridge, authenticator: Authenticator) -> None:
        self._bridge = bridge
        self._authenticator = authenticator

    @document(summary="Export one's data", answer=(200, AccountExport), tag="accounts")
    async def on_get_export(self, req: Request, resp: Response) -> None:
        """Answer all that is kept about the caller."""
        resp.set_header("Content-Disposition", 'attachment; filename="allweather-export.json"')
        resp.data = await self._bridge.run(administration.export_account, req.context.actor)

    @document(
        summary="Delete one's account",
        description="For good, with all tasks of one's own. The password is asked for once more.",
        body=AccountDeletion,
        answer=(204, None),
        errors=(409,),
        tag="accounts",
    )
    async def on_post_delete(self, req: Request, resp: Response) -> None:
        """Delete the caller's account."""
        actor: Actor = req.context.actor
        body: AccountDeletion = req.context.json
        await require_current_password(self._bridge, actor, body.current_password)
        self._authenticator.forget(await self._bridge.run(administration.delete_account, actor, actor.user_id))
        leave(resp)


class AuditLog:
    """The audit log, for admins."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    @document(
        summary="Read the audit log",
        scope=Scope.ADMIN,
        query=AuditQuery,
        answer=(200, AuditList),
        headers=("X-Total-Count",),
        errors=(403,),
        tag="administration",
    )
    async def on_get(self, req: Request, resp: Response) -> None:
        """Answer a page of the log."""
        require_admin(req)
        query: AuditQuery = req.context.query
        page = await self._bridge.run(audit.read_audit_log, query.user_id, query.skip, query.limit)
        answer_page(resp, page, query)
