"""Responses of the health checks."""

from typing import Literal

from pydantic import BaseModel

State = Literal["ok", "unavailable"]


class Health(BaseModel):
    """The process is running."""

    status: Literal["ok"]
    version: str
    app_name: str


class Dependencies(BaseModel):
    """The state of each service that the process needs."""

    postgresql: State
    redis: State


class Readiness(BaseModel):
    """Whether the process can serve requests. `degraded` means that it can, but without live events."""

    status: Literal["ok", "degraded", "unavailable"]
    version: str
    app_name: str
    dependencies: Dependencies
