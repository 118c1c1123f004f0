"""Analytics: the numbers of tasks by status and by user."""

from typing import Final

from api.analytics.schemas import Analytics, AnalyticsQuery
from api.http.operation import operation
from api.http.resource import Resource
from api.http.routing import both
from core.policy import Actor, Scope
from core.services import analytics
from core.services.analytics import Figures


class AnalyticsSummary(Resource):
    """The numbers of the caller's tasks, or of all tasks for an admin."""

    @operation(200, Analytics, tag="analytics", scope=Scope.ANALYTICS_READ)
    async def on_get(self, actor: Actor, query: AnalyticsQuery) -> Figures:
        """Count tasks by status and by user.

        The figures are exact at the time of the response.
        """
        return await self.bridge.run(analytics.read_figures, actor, query.start_date, query.end_date)


ROUTES: Final = both("/analytics", AnalyticsSummary)
