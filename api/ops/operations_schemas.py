"""Queries and responses of the operator's overview."""

from typing import Annotated

from pydantic import BaseModel, Field

from api.http.fields import AsciiDigits, Input, Instant
from core.services.measures import State, Unit
from core.services.operations import KEPT_HOURS


class MeasureOut(BaseModel):
    """A number. If it is not ok, `advice` says what to do, and `runbook` is the heading that explains it.

    `value` is null if it is not known, or if there is nothing to measure.
    """

    name: str
    unit: Unit
    value: float | None
    state: State
    advice: str | None
    runbook: str | None


class ProcessOut(BaseModel):
    """A process. It is `bad` if it has been silent for half a minute, and is forgotten some minutes later."""

    kind: str
    name: str
    version: str
    host: str
    pid: int
    started_at: Instant
    uptime_seconds: int
    memory_bytes: int | None
    sockets: int | None
    heartbeat_at: Instant
    state: State


class QueueOut(BaseModel):
    """A queue of jobs."""

    name: str
    length: int
    oldest_seconds: float | None


class ActivityOut(BaseModel):
    """How often a job ran, or a route was asked for, and how long half and 99 % of them took at most.

    `refused` are requests with a status of 4xx, and jobs that were put off because a server was down; `failed` are
    requests with a status of 5xx, and jobs with an error.
    """

    name: str
    number: int
    refused: int
    failed: int
    p50_ms: float | None
    p99_ms: float | None


class TableOut(BaseModel):
    """A table with its indexes and partitions. A partition is listed too."""

    name: str
    bytes: int


class ConnectionsOut(BaseModel):
    """How many connections to the database an application has in a state."""

    application: str
    state: str
    number: int


class LockOut(BaseModel):
    """An advisory lock of PostgreSQL, which is held, or waited for if it is not `granted`."""

    application: str
    pid: int
    granted: bool


class CappedMailsOut(BaseModel):
    """The mails of a subject in this hour, and how many more a cap has refused."""

    subject: str
    mails: int
    refused: int


class UserNumber(BaseModel):
    """A number of one user."""

    user_id: int
    number: int


class StatementOut(BaseModel):
    """A statement without its values, and how long it took."""

    statement: str
    calls: int
    mean_ms: float
    longest_ms: float


class Operations(BaseModel):
    """The state of the installation; `state` is the worst of all.

    `jobs` and `requests` are those of the last `window_minutes`. `slowest_statements` is null if PostgreSQL does not
    record statements (`pg_stat_statements`).
    """

    state: State
    window_minutes: int
    measures: list[MeasureOut]
    processes: list[ProcessOut]
    queues: list[QueueOut]
    jobs: list[ActivityOut]
    requests: list[ActivityOut]
    tables: list[TableOut]
    connections: list[ConnectionsOut]
    locks: list[LockOut]
    capped_mails: list[CappedMailsOut]
    waiting_weather: list[UserNumber]
    most_tasks: list[UserNumber]
    most_stored: list[UserNumber]
    slowest_statements: list[StatementOut] | None


class SeriesQuery(Input):
    """How far back to look."""

    hours: Annotated[int, Field(ge=1, le=KEPT_HOURS, description="How many hours."), AsciiDigits] = 6


class Series(BaseModel):
    """The last hours of each measure by its name: times with the averages of `step_minutes` minutes from then on."""

    step_minutes: int
    series: dict[str, list[tuple[Instant, float]]]
