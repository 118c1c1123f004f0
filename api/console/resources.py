"""The page of the console and its files. Everything that they show comes from the documented API."""

import html
from string import Template
from typing import Final

import falcon
import orjson
from falcon.asgi import Request, Response

from api.console.files import PREFIX, STYLES, Console, File, console
from api.http.operation import RateLimit, unlisted_within
from api.http.resource import Services
from api.http.routing import Route, unversioned
from core.config import Settings
from core.messages import LANGUAGES
from core.weather.open_meteo import OpenMeteo
from core.weather.openweather import OpenWeather

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types worker"
)
WORKER_POLICY: Final = (
    "default-src 'none'; connect-src 'self'; require-trusted-types-for 'script'; trusted-types 'none'"
)
_FOR_EVER: Final = "public, max-age=31536000, immutable"
_REVALIDATE: Final = "no-cache"


class Page:
    """The page. It is the same for everybody; what it shows, its scripts decide."""

    def __init__(self, services: Services) -> None:
        self._file = _page(console(), services.settings)

    @unlisted_within(RateLimit.FILES)
    async def on_get(self, req: Request, resp: Response) -> None:
        """Send the page."""
        resp.set_header("Content-Security-Policy", POLICY)
        resp.set_header("Cross-Origin-Opener-Policy", "same-origin")
        _send(req, resp, self._file, _REVALIDATE)


class Worker:
    """The service worker, which keeps the page and all files in the browser for the time without a connection."""

    def __init__(self, services: Services) -> None:
        self._file = console().worker_for(_page(console(), services.settings))

    @unlisted_within(RateLimit.FILES)
    async def on_get(self, req: Request, resp: Response) -> None:
        """Send the script of the service worker.

        A browser asks for it at each visit, and so learns of a new release.
        """
        resp.set_header("Content-Security-Policy", WORKER_POLICY)
        # The page is above the folder of the worker, and a browser accepts that only with this header.
        resp.set_header("Service-Worker-Allowed", "/")
        _send(req, resp, self._file, _REVALIDATE)


class Files:
    """The scripts, styles, images and texts of the console."""

    def __init__(self, _services: Services) -> None:
        self._console = console()

    @unlisted_within(RateLimit.FILES)
    async def on_get(self, req: Request, resp: Response, version: str, path: str) -> None:
        """Send a file.

        While processes are replaced, a page of one version may ask a process of another. It gets the file, but no cache
        may keep it under this address.

        Raises:
            falcon.HTTPNotFound: if there is no file at this path.
        """
        file = self._console.files.get(path)
        if file is None:
            raise falcon.HTTPNotFound
        _send(req, resp, file, _FOR_EVER if version == self._console.version else "no-store")


def _page(files: Console, settings: Settings) -> File:
    modules = "\n".join(f'<link rel="modulepreload" href="{files.base}/{path}">' for path in files.modules)
    # What the scripts have to know before anybody has signed in.
    facts = {
        "name": settings.app_name,
        "registration": settings.registration,
        "mail": settings.has_mail_server,
        "languages": LANGUAGES,
        "fileBytes": settings.attachment_max_bytes,
        "attributions": {provider.name: provider.attribution for provider in (OpenMeteo, OpenWeather)},
    }
    page = Template(files.page).substitute(
        base=files.base,
        name=html.escape(settings.app_name),
        facts=html.escape(orjson.dumps(facts).decode()),
        modules=modules,
        styles=f"{files.base}/{STYLES}",
    )
    return File.of(page.encode(), "text/html; charset=utf-8")


def _send(req: Request, resp: Response, file: File, cache: str) -> None:
    compresses = "gzip" in (req.get_header("Accept-Encoding") or "")
    etag = falcon.ETag(f"{file.digest}-gzip" if compresses else file.digest)
    resp.etag = etag
    resp.set_header("Cache-Control", cache)
    resp.append_header("Vary", "Accept-Encoding")
    if etag in (req.if_none_match or ()):
        resp.status = 304
        return
    resp.content_type = file.content_type
    if compresses:
        resp.set_header("Content-Encoding", "gzip")
    resp.data = file.compressed if compresses else file.content


def routes(settings: Settings) -> list[Route]:
    """Return the routes of the console, or none if the operator has switched it off."""
    if not settings.console:
        return []
    return [
        *unversioned("/", Page),
        *unversioned(f"{PREFIX}/worker.js", Worker),
        *unversioned(f"{PREFIX}/{{version}}/{{path:path}}", Files),
    ]
