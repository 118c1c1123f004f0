"""Liveness and readiness."""

import asyncio

import orjson
from falcon.asgi import Request, Response
from peewee import PeeweeException
from redis.asyncio import Redis
from redis.exceptions import RedisError

from api.http.operation import document
from api.http.threads import Bridge
from api.ops.schemas import Health, Readiness
from core import __version__, events
from core.errors import Unavailable

_REDIS_SECONDS = 1.0


class Liveness:
    """Whether the process answers at all; nothing else is asked."""

    def __init__(self, app_name: str) -> None:
        self._answer = orjson.dumps({"status": "ok", "version": __version__, "app_name": app_name})

    @document(summary="Tell whether the process lives", answer=(200, Health), tag="operations", public=True)
    async def on_get(self, _req: Request, resp: Response) -> None:
        """Answer at once."""
        resp.data = self._answer


class Ready:
    """Whether the process can serve, with each thing it depends on.

    Without PostgreSQL it cannot (503). Without Redis it serves all but live events, so it stays ready: taking every
    instance out of the load balancer would turn a small failure into a large one.
    """

    def __init__(self, app_name: str, bridge: Bridge, redis: Redis) -> None:
        self._about = {"version": __version__, "app_name": app_name}
        self._bridge = bridge
        self._redis = redis

    @document(
        summary="Tell whether the process can serve",
        answer=(200, Readiness),
        errors=(503,),
        tag="operations",
        public=True,
    )
    async def on_get(self, _req: Request, resp: Response) -> None:
        """Ask each dependency, and none for long."""
        postgresql, redis = await asyncio.gather(self._postgresql(), self._redis_answers())
        status = "unavailable" if not postgresql else "ok" if redis else "degraded"
        resp.status = 200 if postgresql else 503
        resp.data = orjson.dumps(
            self._about | {"status": status, "dependencies": {"postgresql": _word(postgresql), "redis": _word(redis)}}
        )

    async def _postgresql(self) -> bool:
        try:
            await self._bridge.run(events.bounds)
        except (Unavailable, PeeweeException):
            return False
        return True

    async def _redis_answers(self) -> bool:
        try:
            async with asyncio.timeout(_REDIS_SECONDS):
                await self._redis.ping()
        except (TimeoutError, RedisError, OSError):
            return False
        return True


def _word(answers: bool) -> str:
    return "ok" if answers else "unavailable"
