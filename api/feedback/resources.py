"""Feedback: every user who has logged in may give it, and admins may read it."""

from typing import Final

from api.feedback.schemas import FeedbackInput, FeedbackOut, FeedbackQuery
from api.http.fields import ListOf
from api.http.idempotency import Repeatable
from api.http.operation import operation
from api.http.resource import Resource
from api.http.routing import versioned
from core.policy import Actor, Scope
from core.representations import Page, Representation
from core.services import feedback


class FeedbackCollection(Resource):
    """All feedback."""

    @operation(201, FeedbackOut, tag="feedback")
    async def on_post(self, actor: Actor, body: FeedbackInput, request: Repeatable) -> Representation:
        """Give feedback."""
        return await request.run_once(self.bridge, feedback.give_feedback, actor, body.rating, body.message)

    @operation(200, ListOf[FeedbackOut], tag="feedback", scope=Scope.ADMIN, admin=True, headers=("X-Total-Count",))
    async def on_get(self, query: FeedbackQuery) -> Page:
        """List feedback."""
        return await self.bridge.run(feedback.list_feedback, query.rating, query.skip, query.limit)


ROUTES: Final = versioned("/feedback", FeedbackCollection)
