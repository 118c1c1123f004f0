"""One request on its way to a responder, and the values that a responder's parameters take from it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from falcon.asgi import Request, Response
from pydantic import BaseModel

from core.policy import Actor


@dataclass(slots=True)
class Call:
    """A request and its response, with what the declaration of the operation has found in them so far."""

    request: Request
    response: Response
    actor: Actor | None = None
    query: BaseModel | None = None
    body: Any = None


@dataclass(frozen=True, slots=True)
class FromRequest:
    """Says how a parameter of a responder is read, as in `Annotated[str, FromRequest(read_language)]`.

    Args:
        read: Makes the value; it is called when caller, query and body are known.
        headers: The request headers that it reads and that clients should know of.
        errors: The statuses of the failures that follow from it.
    """

    read: Callable[[Call], Any]
    headers: tuple[str, ...] = ()
    errors: tuple[int, ...] = ()
