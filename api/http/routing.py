"""Which address leads where: ids in paths, HEAD wherever there is GET, and the list of all routes."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from falcon.routing import BaseConverter, CompiledRouter

from api.http.fields import LARGEST_ID

_DIGITS: Final = re.compile(r"[1-9][0-9]{0,18}")

Responder = Callable[..., Any]


class IdConverter(BaseConverter):
    """The id of a row in a path, as in `/tasks/{task_id:id}`; what cannot be one leads nowhere (404)."""

    def convert(self, value: str) -> int | None:
        """Read ASCII digits without sign, leading zero or separators, up to what a bigint holds."""
        if not _DIGITS.fullmatch(value):
            return None
        number = int(value)
        return number if number <= LARGEST_ID else None


@dataclass(frozen=True)
class Route:
    """A path with the responder of each method that it takes."""

    path: str
    responders: dict[str, Responder]


class Router(CompiledRouter):
    """Falcon's router, which also answers HEAD wherever it answers GET, and remembers what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.options.converters["id"] = IdConverter
        self.routes: list[Route] = []

    def map_http_methods(self, resource: object, **kwargs: Any) -> dict[str, Responder]:
        """Map methods to responders; a HEAD is a GET of which the server leaves the body away."""
        responders: dict[str, Any] = dict(super().map_http_methods(resource, **kwargs))
        if "GET" in responders:
            responders.setdefault("HEAD", responders["GET"])
        return responders

    def add_route(self, uri_template: str, resource: object, **kwargs: Any) -> None:
        """Add a route and remember it."""
        super().add_route(uri_template, resource, **kwargs)
        self.routes.append(Route(uri_template, self.map_http_methods(resource, **kwargs)))
