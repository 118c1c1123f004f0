"""Feedback: given by anybody who has logged in, read by admins."""

from falcon.asgi import Request, Response

from api.accounts.administration import require_admin
from api.feedback.schemas import FeedbackInput, FeedbackList, FeedbackOut, FeedbackQuery
from api.http.idempotency import run_once
from api.http.operation import document
from api.http.responses import answer_page
from api.http.threads import Bridge
from core.policy import Scope
from core.services import feedback


class FeedbackCollection:
    """All feedback."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    @document(summary="Give feedback", body=FeedbackInput, answer=(201, FeedbackOut), idempotent=True, tag="feedback")
    async def on_post(self, req: Request, resp: Response) -> None:
        """Keep what the caller thinks."""
        body: FeedbackInput = req.context.json
        actor = req.context.actor
        given = await run_once(self._bridge, req, resp, feedback.give_feedback, actor, body.rating, body.message)
        resp.status = 201
        resp.data = given.json.encode()

    @document(
        summary="List feedback",
        scope=Scope.ADMIN,
        query=FeedbackQuery,
        answer=(200, FeedbackList),
        headers=("X-Total-Count",),
        errors=(403,),
        tag="feedback",
    )
    async def on_get(self, req: Request, resp: Response) -> None:
        """Answer a page of feedback."""
        require_admin(req)
        query: FeedbackQuery = req.context.query
        page = await self._bridge.run(feedback.list_feedback, query.rating, query.skip, query.limit)
        answer_page(resp, page, query)
