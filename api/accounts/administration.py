"""The administration of accounts by admins, and the export and deletion of one's own account."""

from collections.abc import AsyncIterator
from typing import Final

from falcon.asgi import Response

from api.accounts.administration_schemas import (
    AccountChange,
    AccountDeletion,
    AccountExport,
    AccountQuery,
    AuditPage,
    AuditQuery,
)
from api.accounts.logins import CallingClient, end_login
from api.accounts.passwords import confirmed_password
from api.accounts.schemas import Profile
from api.http.bodies import JSON
from api.http.fields import ListOf
from api.http.operation import operation
from api.http.resource import Resource
from api.http.routing import versioned
from core.policy import Actor, Scope
from core.representations import CursorPage, Page, Representation
from core.services import account_export, administration, audit
from core.services.account_export import Part


class AccountCollection(Resource):
    """All accounts, for admins."""

    @operation(200, ListOf[Profile], tag="administration", scope=Scope.ADMIN, admin=True, headers=("X-Total-Count",))
    async def on_get(self, query: AccountQuery) -> Page:
        """List accounts."""
        return await self.bridge.run(
            administration.list_accounts, query.q, query.role, query.is_active, query.skip, query.limit
        )


class AccountItem(Resource):
    """One account, for admins."""

    @operation(200, Profile, tag="administration", scope=Scope.ADMIN, admin=True, errors=(404,))
    async def on_get(self, user_id: int) -> Representation:
        """Read an account."""
        return await self.bridge.run(administration.read_account, user_id)

    @operation(200, Profile, tag="administration", scope=Scope.ADMIN, admin=True, errors=(404, 409))
    async def on_patch(self, actor: Actor, user_id: int, body: AccountChange) -> Representation:
        """Change an account.

        Its role, and whether it is active. Either change ends the account's sessions.
        """
        profile, ended = await self.bridge.run(administration.change_account, actor, user_id, body.columns())
        self.authenticator.forget(ended)
        return profile

    @operation(204, tag="administration", scope=Scope.ADMIN, admin=True, errors=(404, 409))
    async def on_delete(self, actor: Actor, user_id: int) -> None:
        """Delete an account.

        Its tasks are deleted with it; tasks of others that were assigned to it are assigned to nobody.
        """
        self.authenticator.forget(await self.bridge.run(administration.delete_account, actor, user_id))


class OwnAccount(Resource):
    """The export of the caller's data, and the deletion of the caller's account."""

    @operation(200, AccountExport, tag="accounts", weight=5, places=1)
    async def on_get_export(self, resp: Response, actor: Actor) -> None:
        """Export one's data."""
        # The first part is read before the response begins, because later an error cannot change the status any more.
        first = await self.bridge.run(account_export.begin_export, actor)
        resp.content_type = JSON
        resp.set_header("Content-Disposition", 'attachment; filename="allweather-export.json"')
        resp.stream = self._parts(actor, first)

    async def _parts(self, actor: Actor, part: Part) -> AsyncIterator[bytes]:
        yield part.text.encode()
        while part.end is not None:
            part = await self.bridge.run(account_export.read_part, actor, part.end)
            yield part.text.encode()

    @operation(204, tag="accounts", errors=(409,))
    async def on_post_delete(self, resp: Response, actor: Actor, body: AccountDeletion, client: CallingClient) -> None:
        """Delete one's account.

        For good, with all tasks of one's own. The password is asked for once more.
        """
        async with confirmed_password(self.bridge, actor, client.ip_address, body.current_password):
            self.authenticator.forget(await self.bridge.run(administration.delete_account, actor, actor.user_id))
        end_login(resp)


class AuditLog(Resource):
    """The audit log, for admins."""

    @operation(200, AuditPage, tag="administration", scope=Scope.ADMIN, admin=True, headers=("X-Total-Count",))
    async def on_get(self, actor: Actor, query: AuditQuery) -> CursorPage:
        """Read the audit log.

        The newest entry comes first.
        """
        return await self.bridge.run(
            audit.read_audit_log, query.filter(actor.zone), query.cursor, query.skip, query.limit
        )


ROUTES: Final = [
    *versioned("/users/me/export", OwnAccount, "export"),
    *versioned("/users/me/delete", OwnAccount, "delete"),
    *versioned("/users", AccountCollection),
    *versioned("/users/{user_id:id}", AccountItem),
    *versioned("/audit", AuditLog),
]
