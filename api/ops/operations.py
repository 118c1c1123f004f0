"""The operator's overview, for admins."""

import asyncio
from typing import Any, Final

from redis.exceptions import RedisError

from api.http.languages import ReaderLanguage
from api.http.operation import operation
from api.http.resource import Resource
from api.http.routing import versioned
from api.ops.operations_schemas import Operations, Series, SeriesQuery
from core.policy import Scope
from core.services import operations
from core.services.measures import Queue, ask_for_queues, queues_from

_REDIS_SECONDS: Final = 1.0


class OperationsOverview(Resource):
    """The state of the installation."""

    @operation(200, Operations, tag="administration", scope=Scope.ADMIN, admin=True)
    async def on_get(self, language: ReaderLanguage) -> dict[str, Any]:
        """See the state of the installation.

        The measures with what to do about those that are not ok, the processes, queues, jobs and requests, and details
        of the database, mails and users.
        """
        queues = await self._queues()
        return await self.bridge.run(operations.overview, self.settings, queues, language)

    @operation(200, Series, tag="administration", scope=Scope.ADMIN, admin=True)
    async def on_get_series(self, query: SeriesQuery) -> dict[str, Any]:
        """See the last hours of each measure.

        Measures are stored every minute and kept for 48 hours.
        """
        return await self.bridge.run(operations.read_series, query.hours)

    async def _queues(self) -> list[Queue] | None:
        pipeline = self.redis.pipeline(transaction=False)
        ask_for_queues(pipeline)
        try:
            async with asyncio.timeout(_REDIS_SECONDS):
                return queues_from(await pipeline.execute())
        except (TimeoutError, RedisError, OSError):
            return None


ROUTES: Final = [
    *versioned("/admin/operations", OperationsOverview),
    *versioned("/admin/operations/series", OperationsOverview, "series"),
]
