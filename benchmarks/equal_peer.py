"""The equal peer: `benchmarks.peer` with what Allweather does for each request, in libraries that are usual for it.

A rate limit in Redis with its headers (`limits`), a request id (`asgi-correlation-id`), one JSON line for each request
(`structlog`, in its documented fast configuration), and an event and a history row in the transaction of each change.
"""

import os
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import structlog
from asgi_correlation_id import CorrelationIdMiddleware, correlation_id
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from limits import parse
from limits.aio.strategies import FixedWindowRateLimiter
from limits.storage import storage_from_string
from sqlalchemy import BigInteger, ForeignKey, func
from sqlalchemy.dialects.postgresql import ARRAY, JSON
from sqlalchemy.orm import Mapped, mapped_column
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from benchmarks.peer import (
    Base,
    CurrentUser,
    Database,
    Task,
    TaskCreate,
    TaskOut,
    TaskPage,
    list_tasks,
    read_task,
)

RATE = parse("100000000/minute")
limiter = FixedWindowRateLimiter(storage_from_string(f"async+{os.environ['PEER_REDIS_URL']}", implementation="redispy"))  # type: ignore[arg-type]  # The scheme chooses an asynchronous storage.
log_file = Path(os.environ["PEER_LOG_FILE"]).open("ab")  # noqa: SIM115 - it stays open as long as the process runs.

structlog.configure(
    cache_logger_on_first_use=True,
    wrapper_class=structlog.make_filtering_bound_logger(20),
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.JSONRenderer(serializer=orjson.dumps),
    ],
    logger_factory=structlog.BytesLoggerFactory(log_file),
)
log = structlog.get_logger()


class Event(Base):
    __tablename__ = "events"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    type: Mapped[str]
    task_id: Mapped[int]
    actor_id: Mapped[int]
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    audience: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    request_id: Mapped[str | None]
    data: Mapped[dict[str, Any]] = mapped_column(JSON)


class Activity(Base):
    __tablename__ = "task_activity"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    task_id: Mapped[int] = mapped_column(ForeignKey("tasks.id"))
    type: Mapped[str]
    actor_id: Mapped[int]
    changes: Mapped[dict[str, Any]] = mapped_column(JSON)


class RequestLog:
    """Writes one line for each request."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        structlog.contextvars.bind_contextvars(request_id=correlation_id.get())
        try:
            await self.app(scope, receive, send_and_note)
        finally:
            milliseconds = round((time.perf_counter() - started) * 1000, 2)
            log.info("request", method=scope["method"], path=scope["path"], status=status, duration_ms=milliseconds)


async def count_request(request: Request, response: Response) -> None:
    caller = request.client.host if request.client else "unknown"
    allowed = await limiter.hit(RATE, caller)
    stats = await limiter.get_window_stats(RATE, caller)
    response.headers["RateLimit-Limit"] = str(RATE.amount)
    response.headers["RateLimit-Remaining"] = str(stats.remaining)
    response.headers["RateLimit-Reset"] = str(int(stats.reset_time - time.time()))
    if not allowed:
        raise HTTPException(429)


app = FastAPI(dependencies=[Depends(count_request)])
app.add_middleware(RequestLog)
app.add_middleware(CorrelationIdMiddleware)
app.get("/tasks/{task_id}", response_model=TaskOut)(read_task)
app.get("/tasks", response_model=TaskPage)(list_tasks)


@app.post("/tasks", response_model=TaskOut, status_code=201)
async def create_task(body: TaskCreate, session: Database, user: CurrentUser) -> Task:
    task = Task(**body.model_dump(), user_id=user.id)
    session.add(task)
    await session.flush()
    await session.refresh(task)
    data = TaskOut.model_validate(task).model_dump(mode="json")
    session.add(
        Event(
            type="task.created",
            task_id=task.id,
            actor_id=user.id,
            audience=[user.id],
            request_id=correlation_id.get(),
            data=data,
        )
    )
    session.add(Activity(task_id=task.id, type="task.created", actor_id=user.id, changes={}))
    await session.commit()
    return task
