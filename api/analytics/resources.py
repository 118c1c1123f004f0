"""The analytics."""

from dataclasses import asdict

import orjson
from falcon.asgi import Request, Response

from api.analytics.schemas import Analytics, AnalyticsQuery
from api.http.operation import document
from api.http.threads import Bridge
from core.policy import Scope
from core.services import analytics


class AnalyticsSummary:
    """Figures of the caller's tasks; of everyone's for an admin."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    @document(
        summary="Count tasks by status and by user",
        scope=Scope.ANALYTICS_READ,
        description="Exact at the moment of the answer: rollups plus all that has changed since they were made.",
        query=AnalyticsQuery,
        answer=(200, Analytics),
        tag="analytics",
    )
    async def on_get(self, req: Request, resp: Response) -> None:
        """Answer the figures of a span of days."""
        actor = req.context.actor
        span: AnalyticsQuery = req.context.query
        figures = await self._bridge.run(analytics.read_figures, actor, span.start_date, span.end_date)
        resp.data = orjson.dumps(asdict(figures))
