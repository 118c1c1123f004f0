"""A request that an operation is handling, and how a responder's parameters get their values from it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from falcon.asgi import Request, Response
from pydantic import BaseModel

from core.policy import Actor


@dataclass(slots=True)
class Call:
    """A request and its response, with the caller, query and body as far as they have been read."""

    request: Request
    response: Response
    actor: Actor | None = None
    query: BaseModel | None = None
    body: Any = None


@dataclass(frozen=True, slots=True)
class FromRequest:
    """Marks a parameter of a responder whose value `read` makes, as in `Annotated[str, FromRequest(read_language)]`.

    Args:
        read: Returns the value. It is called after caller, query and body have been read.
        headers: The request headers that it reads, for the API description.
        errors: The statuses of the errors that it adds to the operation, for the API description.
    """

    read: Callable[[Call], Any]
    headers: tuple[str, ...] = ()
    errors: tuple[int, ...] = ()
