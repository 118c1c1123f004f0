"""Liveness and readiness."""

import asyncio
from typing import Any, Final

from falcon.asgi import Response
from peewee import PeeweeException
from redis.exceptions import RedisError

from api.http.operation import RateLimit, operation
from api.http.resource import Resource
from api.http.routing import unversioned
from api.ops.schemas import Health, Readiness
from core import __version__, events
from core.errors import Unavailable

_REDIS_SECONDS: Final = 1.0


class Liveness(Resource):
    """Whether the process responds at all; nothing else is asked."""

    @operation(200, Health, tag="operations", public=True, rate_limit=RateLimit.HEALTH)
    async def on_get(self) -> dict[str, str]:
        """Tell whether the process lives."""
        return {"status": "ok", "version": __version__, "app_name": self.settings.app_name}


class Ready(Resource):
    """Whether the process can serve, with each thing it depends on.

    Without PostgreSQL it cannot (503). Without Redis it serves all but live events, so it stays ready: taking every
    instance out of the load balancer would turn a small failure into a large one.
    """

    @operation(200, Readiness, tag="operations", public=True, rate_limit=RateLimit.HEALTH, errors=(503,))
    async def on_get(self, resp: Response) -> dict[str, Any]:
        """Tell whether the process can serve."""
        postgresql, redis = await asyncio.gather(self._postgresql_answers(), self._redis_answers())
        if not postgresql:
            resp.status = 503
        return {
            "version": __version__,
            "app_name": self.settings.app_name,
            "status": "unavailable" if not postgresql else "ok" if redis else "degraded",
            "dependencies": {"postgresql": _word(postgresql), "redis": _word(redis)},
        }

    async def _postgresql_answers(self) -> bool:
        try:
            await self.bridge.run(events.bounds)
        except (Unavailable, PeeweeException):
            return False
        return True

    async def _redis_answers(self) -> bool:
        try:
            async with asyncio.timeout(_REDIS_SECONDS):
                await self.redis.ping()
        except (TimeoutError, RedisError, OSError):
            return False
        return True


def _word(answers: bool) -> str:
    return "ok" if answers else "unavailable"


ROUTES: Final = [
    *unversioned("/health", Liveness),
    *unversioned("/health/ready", Ready),
]
