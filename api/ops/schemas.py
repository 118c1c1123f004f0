"""Responses of the health checks."""

from typing import Literal

from pydantic import BaseModel

State = Literal["ok", "unavailable"]


class Health(BaseModel):
    """The process answers."""

    status: Literal["ok"]
    version: str
    app_name: str


class Dependencies(BaseModel):
    """What the process depends on."""

    postgresql: State
    redis: State


class Readiness(BaseModel):
    """Whether the process can serve; `degraded` means without live events."""

    status: Literal["ok", "degraded", "unavailable"]
    version: str
    app_name: str
    dependencies: Dependencies
