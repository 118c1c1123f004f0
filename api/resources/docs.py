"""The API document and two pages that show it, without asking any third party for anything."""

import hashlib
from importlib.resources import files
from typing import Any, ClassVar, Final

import orjson
from falcon.asgi import Request, Response

_PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self'; worker-src blob:; child-src blob:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_A_DAY: Final = "public, max-age=86400"
_REVALIDATE: Final = "no-cache"

_SWAGGER: Final = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Allweather API</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="/docs/assets/swagger.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/assets/swagger.js"></script><script src="/docs/assets/start-swagger.js"></script>
</body>
</html>
"""
_START_SWAGGER: Final = """\
window.ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  persistAuthorization: false,
  validatorUrl: null,
});
"""
_REDOC: Final = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Allweather API</title>
<link rel="icon" href="data:,"><style>body { margin: 0; }</style>
</head>
<body>
<redoc spec-url="/openapi.json"></redoc>
<script type="module" src="/docs/assets/redoc.js"></script>
</body>
</html>
"""


class Static:
    """One document that is the same for everybody until the next release."""

    def __init__(self, content: bytes, content_type: str, cache: str, policy: str | None = None) -> None:
        self._content = content
        self._content_type = content_type
        self._cache = cache
        self._policy = policy
        self._etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'

    async def on_get(self, req: Request, resp: Response) -> None:
        """Answer the document, or 304 where the caller has it already."""
        self.send(req, resp)

    def send(self, req: Request, resp: Response) -> None:
        """Answer with the document."""
        resp.set_header("ETag", self._etag)
        resp.set_header("Cache-Control", self._cache)
        if self._policy is not None:
            resp.set_header("Content-Security-Policy", self._policy)
        if req.get_header("If-None-Match") == self._etag:
            resp.status = 304
            return
        resp.content_type = self._content_type
        resp.data = self._content


class Assets:
    """The scripts and styles of the pages."""

    _FILES: ClassVar[dict[str, tuple[str, str]]] = {
        "swagger.js": ("swagger_bundle.js", "text/javascript; charset=utf-8"),
        "swagger.css": ("swagger_style.css", "text/css; charset=utf-8"),
        "redoc.js": ("redoc.js", "text/javascript; charset=utf-8"),
    }

    def __init__(self) -> None:
        package = files("offapi")
        self._assets = {
            name: Static((package / source).read_bytes(), content_type, _A_DAY)
            for name, (source, content_type) in self._FILES.items()
        }
        self._assets["start-swagger.js"] = Static(_START_SWAGGER.encode(), "text/javascript; charset=utf-8", _A_DAY)

    async def on_get(self, req: Request, resp: Response, name: str) -> None:
        """Answer one of them."""
        asset = self._assets.get(name)
        if asset is None:
            resp.status = 404
            return
        asset.send(req, resp)


def pages(document: dict[str, Any]) -> dict[str, Static]:
    """The document and its pages, by their path."""
    html = "text/html; charset=utf-8"
    return {
        "/openapi.json": Static(orjson.dumps(document), "application/json", _REVALIDATE),
        "/docs": Static(_SWAGGER.encode(), html, _REVALIDATE, _PAGE_POLICY),
        "/redoc": Static(_REDOC.encode(), html, _REVALIDATE, _PAGE_POLICY),
    }
