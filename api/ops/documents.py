"""The API description and two pages that show it. The pages load nothing from other hosts."""

import hashlib
from importlib.resources import files
from typing import Any, Final

import falcon
import orjson
from falcon.asgi import Request, Response

from api.http.operation import unlisted
from api.http.resource import Services
from api.http.routing import Route, both, unversioned

# Both pages create style elements, and Redoc starts a worker from a blob for its search, so the policy allows these.
# Redoc would also load a logo from another server; the policy prevents this.
_PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src data:; "
    "connect-src 'self'; worker-src blob:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_A_DAY: Final = "public, max-age=86400"
_REVALIDATE: Final = "no-cache"
_HTML: Final = "text/html; charset=utf-8"
_SCRIPT: Final = "text/javascript; charset=utf-8"
_STYLE: Final = "text/css; charset=utf-8"

_PAGE: Final = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Allweather API</title>
<link rel="icon" href="data:,">
%s
</head>
<body>
<div id="page"></div>
</body>
</html>
"""
_SWAGGER: Final = _PAGE % (
    '<link rel="stylesheet" href="/docs/assets/swagger.css">\n'
    '<script defer src="/docs/assets/swagger.js"></script>\n'
    '<script defer src="/docs/assets/start-swagger.js"></script>'
)
_REDOC: Final = _PAGE % (
    '<style>body { margin: 0; }</style>\n<script type="module" src="/docs/assets/start-redoc.js"></script>'
)
# By default, Swagger UI sends the document's address to an online validator, and Redoc sends usage data.
_START_SWAGGER: Final = (
    'SwaggerUIBundle({url: "/openapi.json", dom_id: "#page", deepLinking: true, validatorUrl: null});\n'
)
_START_REDOC: Final = """\
import {init} from "/docs/assets/redoc.js";
init("/openapi.json", {disableTelemetry: true}, document.getElementById("page"));
"""


class Static:
    """A file that does not depend on the caller and does not change while the process runs."""

    def __init__(self, content: bytes, content_type: str, cache: str, policy: str | None = None) -> None:
        self._content = content
        self._content_type = content_type
        self._cache = cache
        self._policy = policy
        self._etag = falcon.ETag(hashlib.sha256(content).hexdigest()[:32])

    def as_resource(self, _services: Services) -> "Static":
        """Return itself, so that this method can be the resource factory of a route."""
        return self

    @unlisted
    async def on_get(self, req: Request, resp: Response) -> None:
        """Send the file, or 304 if the client already has it."""
        self.send(req, resp)

    def send(self, req: Request, resp: Response) -> None:
        """Write the response."""
        resp.etag = self._etag
        resp.set_header("Cache-Control", self._cache)
        if self._policy is not None:
            resp.set_header("Content-Security-Policy", self._policy)
        if self._etag in (req.if_none_match or ()):
            resp.status = 304
            return
        resp.content_type = self._content_type
        resp.data = self._content


class Assets:
    """The scripts and stylesheets of the pages."""

    def __init__(self, _services: Services) -> None:
        package = files("offapi")
        self._assets = {
            "swagger.js": Static((package / "swagger_bundle.js").read_bytes(), _SCRIPT, _A_DAY),
            "swagger.css": Static((package / "swagger_style.css").read_bytes(), _STYLE, _A_DAY),
            "redoc.js": Static((package / "redoc.js").read_bytes(), _SCRIPT, _A_DAY),
            "start-swagger.js": Static(_START_SWAGGER.encode(), _SCRIPT, _A_DAY),
            "start-redoc.js": Static(_START_REDOC.encode(), _SCRIPT, _A_DAY),
        }

    @unlisted
    async def on_get(self, req: Request, resp: Response, name: str) -> None:
        """Send a script or a stylesheet.

        Raises:
            falcon.HTTPNotFound: if there is no file of this name.
        """
        asset = self._assets.get(name)
        if asset is None:
            raise falcon.HTTPNotFound
        asset.send(req, resp)


def routes(description: dict[str, Any]) -> list[Route]:
    """Return the routes of the API description and its pages."""
    pages = {
        "/openapi.json": Static(orjson.dumps(description), falcon.MEDIA_JSON, _REVALIDATE),
        "/docs": Static(_SWAGGER.encode(), _HTML, _REVALIDATE, _PAGE_POLICY),
        "/redoc": Static(_REDOC.encode(), _HTML, _REVALIDATE, _PAGE_POLICY),
    }
    shown = [route for path, page in pages.items() for route in both(path, page.as_resource)]
    return [*shown, *unversioned("/docs/assets/{name}", Assets)]
