"""The peer: the same three requests on FastAPI, SQLAlchemy 2 (async) and asyncpg, written in their usual style."""

import os
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated

import jwt
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import OAuth2PasswordBearer
from pydantic import BaseModel, ConfigDict
from sqlalchemy import ForeignKey, func, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TIMESTAMP

KEY = os.environ["PEER_KEY"]
engine = create_async_engine(os.environ["PEER_DATABASE_URL"], pool_size=16)
make_session = async_sessionmaker(engine, expire_on_commit=False)
app = FastAPI()
bearer = OAuth2PasswordBearer(tokenUrl="login")


class Base(DeclarativeBase):
    type_annotation_map = {datetime: TIMESTAMP(timezone=True)}  # noqa: RUF012 - SQLAlchemy expects a plain class attribute.


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str]
    is_active: Mapped[bool]


class Task(Base):
    __tablename__ = "tasks"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    description: Mapped[str | None]
    status: Mapped[str] = mapped_column(default="todo")
    priority: Mapped[str] = mapped_column(default="medium")
    due_at: Mapped[datetime | None]
    city: Mapped[str | None]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    version: Mapped[int] = mapped_column(default=1)


class TaskCreate(BaseModel):
    title: str
    description: str | None = None


class TaskOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)
    id: int
    title: str
    description: str | None
    status: str
    priority: str
    due_at: datetime | None
    city: str | None
    user_id: int
    created_at: datetime
    updated_at: datetime
    version: int


class TaskPage(BaseModel):
    items: list[TaskOut]
    total: int


async def database() -> AsyncIterator[AsyncSession]:
    async with make_session() as session:
        yield session


Database = Annotated[AsyncSession, Depends(database)]


async def current_user(session: Database, token: Annotated[str, Depends(bearer)]) -> User:
    claims = jwt.decode(token, KEY, algorithms=["HS256"])
    user = await session.get(User, int(claims["sub"]))
    if user is None or not user.is_active:
        raise HTTPException(401)
    return user


CurrentUser = Annotated[User, Depends(current_user)]


@app.get("/tasks/{task_id}", response_model=TaskOut)
async def read_task(task_id: int, session: Database, user: CurrentUser) -> Task:
    task = await session.get(Task, task_id)
    if task is None:
        raise HTTPException(404)
    if task.user_id != user.id:
        raise HTTPException(403)
    return task


@app.get("/tasks", response_model=TaskPage)
async def list_tasks(session: Database, user: CurrentUser, skip: int = 0, limit: int = 20) -> dict[str, object]:
    mine = select(Task).where(Task.user_id == user.id)
    total = await session.scalar(select(func.count()).select_from(mine.subquery()))
    items = await session.scalars(mine.order_by(Task.created_at.desc()).offset(skip).limit(limit))
    return {"items": items.all(), "total": total}


@app.post("/tasks", response_model=TaskOut, status_code=201)
async def create_task(body: TaskCreate, session: Database, user: CurrentUser) -> Task:
    task = Task(**body.model_dump(), user_id=user.id)
    session.add(task)
    await session.commit()
    await session.refresh(task)
    return task
