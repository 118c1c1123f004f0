"""Work that has failed: admins list it, try it again, or drop it."""

from typing import Any, Final

from api.http.operation import operation
from api.http.resource import Resource
from api.http.routing import versioned
from api.ops.failed_work_schemas import FailedWorkPage, FailedWorkQuery, WorkChoice, WorkOutcome
from core.policy import Actor, Scope
from core.representations import CursorPage
from core.services import failed_work
from core.services.failed_work import Filter, Outcome


class FailedWorkCollection(Resource):
    """The work that waits for another attempt, or that was given up."""

    @operation(200, FailedWorkPage, tag="administration", scope=Scope.ADMIN, admin=True, headers=("X-Total-Count",))
    async def on_get(self, query: FailedWorkQuery) -> CursorPage:
        """List work that has failed.

        Weather, mails of notifications and mails about accounts, with the reason of the last failure. That which began
        to fail last comes first.
        """
        return await self.bridge.run(
            failed_work.list_failed_work, query.filter(), query.cursor, query.skip, query.limit
        )

    @operation(200, WorkOutcome, tag="administration", scope=Scope.ADMIN, admin=True)
    async def on_post_retry(self, actor: Actor, body: WorkChoice) -> dict[str, Any]:
        """Try failed work again.

        From the first attempt: at once if it was given up, and within a minute if it waits. Items that have not failed
        stay as they are. While `remaining` is not 0, repeat the request for the rest.
        """
        match body.work():
            case Filter() as which:
                return _described(await self.bridge.run(failed_work.retry_matching, actor.user_id, which))
            case work:
                return _described(await self.bridge.run(failed_work.retry, actor.user_id, work))

    @operation(200, WorkOutcome, tag="administration", scope=Scope.ADMIN, admin=True)
    async def on_post_drop(self, actor: Actor, body: WorkChoice) -> dict[str, Any]:
        """Drop failed work.

        It is not tried any more: a mail is not sent, and the weather of a task is unavailable. Items that have not
        failed stay as they are. While `remaining` is not 0, repeat the request for the rest.
        """
        match body.work():
            case Filter() as which:
                return _described(await self.bridge.run(failed_work.drop_matching, actor.user_id, which))
            case work:
                return _described(await self.bridge.run(failed_work.drop, actor.user_id, work))


def _described(outcome: Outcome) -> dict[str, Any]:
    items = [{"kind": kind, "id": row_id} for kind, ids in outcome.changed.items() for row_id in ids]
    return {"changed": outcome.count, "items": items, "remaining": outcome.remaining}


ROUTES: Final = [
    *versioned("/admin/work", FailedWorkCollection),
    *versioned("/admin/work/retry", FailedWorkCollection, "retry"),
    *versioned("/admin/work/drop", FailedWorkCollection, "drop"),
]
