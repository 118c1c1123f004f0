"""Analytics: the numbers of tasks by status, by user and by day, and what the weather has done to them."""

from typing import Final

from api.analytics.schemas import (
    Analytics,
    AnalyticsByDay,
    AnalyticsQuery,
    DaysQuery,
    WeatherAnalytics,
    WeatherAnalyticsQuery,
)
from api.http.operation import operation
from api.http.resource import Resource
from api.http.routing import both, versioned
from core.policy import Actor, Scope
from core.services import analytics, weather_outcomes
from core.services.analytics import Figures, FiguresByDay
from core.services.weather_outcomes import WeatherFigures

# For an admin the figures by day read all tasks.
_PLACES: Final = 2


class AnalyticsSummary(Resource):
    """The numbers of the caller's tasks, or of all tasks for an admin."""

    @operation(200, Analytics, tag="analytics", scope=Scope.ANALYTICS_READ)
    async def on_get(self, actor: Actor, query: AnalyticsQuery) -> Figures:
        """Count tasks by status and by user.

        The figures are exact at the time of the response.
        """
        return await self.bridge.run(analytics.read_figures, actor, query.start_date, query.end_date)


class AnalyticsDays(Resource):
    """The numbers of the caller's tasks on each day, or of all tasks for an admin."""

    @operation(200, AnalyticsByDay, tag="analytics", scope=Scope.ANALYTICS_READ, places=_PLACES)
    async def on_get(self, actor: Actor, query: DaysQuery) -> FiguresByDay:
        """Count tasks by day.

        For each day: how many tasks were created, how many were done and still are, and how many had a deadline on this
        day that has passed while they are still open. The days are those of the given time zone.
        """
        return await self.bridge.run(
            analytics.read_figures_by_day, actor, query.start_date, query.end_date, query.timezone or actor.timezone
        )


class WeatherSummary(Resource):
    """What the weather has done to the caller's tasks, or to all tasks for an admin."""

    @operation(200, WeatherAnalytics, tag="analytics", scope=Scope.ANALYTICS_READ)
    async def on_get(self, actor: Actor, query: WeatherAnalyticsQuery) -> WeatherFigures:
        """Count the tasks that were warned, moved, and done in spite of a warning, in all and for each place.

        A task counts once for each of these.
        """
        return await self.bridge.run(weather_outcomes.read_weather_figures, actor, query.start_date, query.end_date)


ROUTES: Final = [
    *both("/analytics", AnalyticsSummary),
    *versioned("/analytics/days", AnalyticsDays),
    *versioned("/analytics/weather", WeatherSummary),
]
