"""The router: the routes that areas declare, ids in paths, and HEAD for every GET."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from falcon.asgi import Request
from falcon.routing import BaseConverter, CompiledRouter

from api.http.fields import LARGEST_ID
from api.http.operation import Operation, RateLimit, Responder, is_unlisted, operation_of, unlisted_limit_of
from api.http.resource import Services
from core.config import API_PREFIX

_DIGITS: Final = re.compile(r"[1-9][0-9]{0,18}")
_PATH_PARAMETER: Final = re.compile(r"\{(\w+)[^}]*\}")
_WEBSOCKET: Final = "WEBSOCKET"

ResourceFactory = Callable[[Services], object]


@dataclass(frozen=True, slots=True)
class Route:
    """A route of the API: its path, the function that creates its resource, and Falcon's suffix for its responders."""

    path: str
    resource: ResourceFactory
    suffix: str | None = None


def versioned(path: str, resource: ResourceFactory, suffix: str | None = None) -> list[Route]:
    """Return the route for a path under the API's prefix."""
    return [Route(API_PREFIX + path, resource, suffix)]


def unversioned(path: str, resource: ResourceFactory, suffix: str | None = None) -> list[Route]:
    """Return the route for a path without the prefix."""
    return [Route(path, resource, suffix)]


def both(path: str, resource: ResourceFactory, suffix: str | None = None) -> list[Route]:
    """Return the routes for a path under the prefix and without it."""
    return versioned(path, resource, suffix) + unversioned(path, resource, suffix)


class IdConverter(BaseConverter):
    """The id of a row in a path, as in `/tasks/{task_id:id}`. A path with an invalid id is not found (404)."""

    def convert(self, value: str) -> int | None:
        """Return the id, or None if the text is not a positive bigint in plain ASCII digits."""
        if not _DIGITS.fullmatch(value):
            return None
        number = int(value)
        return number if number <= LARGEST_ID else None


@dataclass(frozen=True)
class MappedPath:
    """A path with the responder for each of its methods."""

    path: str
    responders: dict[str, Responder]


class Router(CompiledRouter):
    """Falcon's router, which also routes HEAD for every GET, and keeps a list of its paths.

    It refuses responders without a declaration, because nothing would check their callers.
    """

    def __init__(self) -> None:
        super().__init__()
        self.options.converters["id"] = IdConverter
        self.paths: list[MappedPath] = []

    def map_http_methods(self, resource: object, **kwargs: Any) -> dict[str, Responder]:
        """Map methods to responders. HEAD has the responder of GET; the server leaves out the body."""
        responders: dict[str, Any] = dict(super().map_http_methods(resource, **kwargs))
        if "GET" in responders:
            responders.setdefault("HEAD", responders["GET"])
        return responders

    def add_route(self, uri_template: str, resource: object, **kwargs: Any) -> None:
        """Add a route.

        Raises:
            TypeError: if a responder is neither an operation nor unlisted, or its parameters differ from the path's.
        """
        responders = self.map_http_methods(resource, **kwargs)
        for method, responder in responders.items():
            if method != _WEBSOCKET:
                _require_declaration(method, uri_template, responder)
        super().add_route(uri_template, resource, **kwargs)
        self.paths.append(MappedPath(uri_template, responders))

    def operation(self, req: Request) -> Operation | None:
        """Return the operation that a request is for, or None. Falcon responds with 404 or 405 later in that case."""
        responder = self._responder(req)
        return None if responder is None else operation_of(responder)

    def template(self, req: Request) -> str | None:
        """Return the template of the path of a request, or None if no route has it."""
        found = self.find(req.path, req)
        return None if found is None else found[3]

    def unlisted_limit(self, req: Request) -> RateLimit:
        """Return which limit a request counts against that is for no operation."""
        responder = self._responder(req)
        return RateLimit.GENERAL if responder is None else unlisted_limit_of(responder)

    def _responder(self, req: Request) -> Responder | None:
        found = self.find(req.path, req)
        return None if found is None else found[1].get(req.method)


def _require_declaration(method: str, path: str, responder: Responder) -> None:
    declared = operation_of(responder)
    if declared is None and not is_unlisted(responder):
        raise TypeError(f"{method} {path} has a responder without a declaration; write @operation(...) over it.")
    if declared is not None and declared.path_parameters != set(_PATH_PARAMETER.findall(path)):
        raise TypeError(f"The responder of {method} {path} takes other parameters than the path has.")
