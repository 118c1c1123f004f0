"""Analytics: the numbers of tasks by status and by user, and what the weather has done to them."""

from typing import Final

from api.analytics.schemas import Analytics, AnalyticsQuery, WeatherAnalytics, WeatherAnalyticsQuery
from api.http.operation import operation
from api.http.resource import Resource
from api.http.routing import both, versioned
from core.policy import Actor, Scope
from core.services import analytics, weather_outcomes
from core.services.analytics import Figures
from core.services.weather_outcomes import WeatherFigures


class AnalyticsSummary(Resource):
    """The numbers of the caller's tasks, or of all tasks for an admin."""

    @operation(200, Analytics, tag="analytics", scope=Scope.ANALYTICS_READ)
    async def on_get(self, actor: Actor, query: AnalyticsQuery) -> Figures:
        """Count tasks by status and by user.

        The figures are exact at the time of the response.
        """
        return await self.bridge.run(analytics.read_figures, actor, query.start_date, query.end_date)


class WeatherSummary(Resource):
    """What the weather has done to the caller's tasks, or to all tasks for an admin."""

    @operation(200, WeatherAnalytics, tag="analytics", scope=Scope.ANALYTICS_READ)
    async def on_get(self, actor: Actor, query: WeatherAnalyticsQuery) -> WeatherFigures:
        """Count the tasks that were warned, moved, and done in spite of a warning, in all and for each place.

        A task counts once for each of these.
        """
        return await self.bridge.run(weather_outcomes.read_weather_figures, actor, query.start_date, query.end_date)


ROUTES: Final = [*both("/analytics", AnalyticsSummary), *versioned("/analytics/weather", WeatherSummary)]
