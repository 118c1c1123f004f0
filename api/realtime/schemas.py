"""Responses of the realtime area."""

from pydantic import BaseModel, ConfigDict, Field


class TicketGrant(BaseModel):
    """A single-use ticket for one WebSocket."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"ticket": "q0Jd…", "expires_in": 30}]})

    ticket: str = Field(description="To be used once, as in `/ws?ticket=…`.")
    expires_in: int = Field(description="Seconds until the ticket expires.")
