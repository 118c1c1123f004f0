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
    """The liveness check: whether the process responds. It checks nothing else."""

    @operation(200, Health, tag="operations", public=True, rate_limit=RateLimit.HEALTH)
    async def on_get(self) -> dict[str, str]:
        """Check whether the process is running."""
        return {"status": "ok", "version": __version__, "app_name": self.settings.app_name}


class Ready(Resource):
    """The readiness check: whether the process can serve requests, and the state of PostgreSQL and Redis.

    Without PostgreSQL it is not ready (503). Without Redis only live events fail, so it stays ready: otherwise the load
    balancer would remove every instance because of a small failure.
    """

    @operation(200, Readiness, tag="operations", public=True, rate_limit=RateLimit.HEALTH, errors=(503,))
    async def on_get(self, resp: Response) -> dict[str, Any]:
        """Check whether the process can serve requests."""
        postgresql, redis = await asyncio.gather(self._is_postgresql_available(), self._is_redis_available())
        if not postgresql:
            resp.status = 503
        return {
            "version": __version__,
            "app_name": self.settings.app_name,
            "status": "unavailable" if not postgresql else "ok" if redis else "degraded",
            "dependencies": {"postgresql": _state(postgresql), "redis": _state(redis)},
        }

    async def _is_postgresql_available(self) -> bool:
        try:
            await self.bridge.run(events.bounds)
        except (Unavailable, PeeweeException):
            return False
        return True

    async def _is_redis_available(self) -> bool:
        try:
            async with asyncio.timeout(_REDIS_SECONDS):
                await self.redis.ping()
        except (TimeoutError, RedisError, OSError):
            return False
        return True


def _state(is_available: bool) -> str:
    return "ok" if is_available else "unavailable"


ROUTES: Final = [
    *unversioned("/health", Liveness),
    *unversioned("/health/ready", Ready),
]
