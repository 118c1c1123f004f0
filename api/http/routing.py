"""Which address leads where: the routes that areas declare, ids in paths, and HEAD wherever there is GET."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from falcon.asgi import Request
from falcon.routing import BaseConverter, CompiledRouter

from api.http.fields import LARGEST_ID
from api.http.operation import Operation, Responder, is_unlisted, operation_of
from api.http.resource import Services
from core.config import API_PREFIX

_DIGITS: Final = re.compile(r"[1-9][0-9]{0,18}")
_PATH_PARAMETER: Final = re.compile(r"\{(\w+)[^}]*\}")
_WEBSOCKET: Final = "WEBSOCKET"

ResourceFactory = Callable[[Services], object]


@dataclass(frozen=True, slots=True)
class Route:
    """An address of the API: its path, what makes its resource, and the suffix of its responders, if they have one."""

    path: str
    resource: ResourceFactory
    suffix: str | None = None


def versioned(path: str, resource: ResourceFactory, suffix: str | None = None) -> list[Route]:
    """A path under the API's prefix."""
    return [Route(API_PREFIX + path, resource, suffix)]


def unversioned(path: str, resource: ResourceFactory, suffix: str | None = None) -> list[Route]:
    """A path without the prefix."""
    return [Route(path, resource, suffix)]


def both(path: str, resource: ResourceFactory, suffix: str | None = None) -> list[Route]:
    """A path under the prefix and without it."""
    return versioned(path, resource, suffix) + unversioned(path, resource, suffix)


class IdConverter(BaseConverter):
    """The id of a row in a path, as in `/tasks/{task_id:id}`; what cannot be one leads nowhere (404)."""

    def convert(self, value: str) -> int | None:
        """Read ASCII digits without sign, leading zero or separators, up to what a bigint holds."""
        if not _DIGITS.fullmatch(value):
            return None
        number = int(value)
        return number if number <= LARGEST_ID else None


@dataclass(frozen=True)
class MappedPath:
    """A path with the responder of each method that it takes."""

    path: str
    responders: dict[str, Responder]


class Router(CompiledRouter):
    """Falcon's router, which also takes HEAD wherever it takes GET, and keeps a list of the paths it was given.

    It takes only responders that are declared: one without a declaration would be open to everybody.
    """

    def __init__(self) -> None:
        super().__init__()
        self.options.converters["id"] = IdConverter
        self.paths: list[MappedPath] = []

    def map_http_methods(self, resource: object, **kwargs: Any) -> dict[str, Responder]:
        """Map methods to responders; a HEAD is a GET whose body the server leaves out."""
        responders: dict[str, Any] = dict(super().map_http_methods(resource, **kwargs))
        if "GET" in responders:
            responders.setdefault("HEAD", responders["GET"])
        return responders

    def add_route(self, uri_template: str, resource: object, **kwargs: Any) -> None:
        """Add a route.

        Raises:
            TypeError: where a responder is neither an operation nor unlisted, or its parameters are not the path's.
        """
        responders = self.map_http_methods(resource, **kwargs)
        for method, responder in responders.items():
            if method != _WEBSOCKET:
                _require_declaration(method, uri_template, responder)
        super().add_route(uri_template, resource, **kwargs)
        self.paths.append(MappedPath(uri_template, responders))

    def operation(self, req: Request) -> Operation | None:
        """The operation that a request is for; None where there is none, which Falcon finds out later."""
        found = self.find(req.path, req)
        responder = None if found is None else found[1].get(req.method)
        return None if responder is None else operation_of(responder)


def _require_declaration(method: str, path: str, responder: Responder) -> None:
    declared = operation_of(responder)
    if declared is None and not is_unlisted(responder):
        raise TypeError(f"{method} {path} has a responder without a declaration; write @operation(...) over it.")
    if declared is not None and declared.path_parameters != set(_PATH_PARAMETER.findall(path)):
        raise TypeError(f"The responder of {method} {path} takes other parameters than the path has.")
