"""The composition root: the routes of all areas, the middleware, and what runs as long as the process does."""

import asyncio
from typing import Any, Final

import falcon.asgi
import structlog
from falcon.asgi import Request, Response
from peewee import PeeweeException
from redis.asyncio import Redis

from api.accounts import administration, personal_tokens
from api.accounts import resources as accounts_resources
from api.analytics import resources as analytics
from api.compat import resources as compat
from api.feedback import resources as feedback
from api.groups import resources as groups
from api.http import bodies, errors, openapi
from api.http.auth import AuthenticationMiddleware, Authenticator
from api.http.middleware import CrossOrigin, RequestContext
from api.http.rate_limits import RateLimits
from api.http.resource import Services
from api.http.routing import ResourceFactory, Route, Router
from api.http.threads import Bridge
from api.notifications import resources as notifications
from api.ops import documents, health
from api.realtime import resources as realtime
from api.realtime.publisher_wakeup import PublisherWakeup, celery_sender
from api.realtime.relay import Relay
from api.tasks import attachments, collaboration, transfer
from api.tasks import resources as tasks
from core import db, logs
from core.config import Settings
from core.errors import Failure, Rejected
from core.security import TokenIssuer
from core.services import accounts
from core.storage import storage_for

log = structlog.get_logger()

_STARTUP_RETRY_SECONDS: Final = 2.0

App = falcon.asgi.App[Request, Response]


def routes(relay: Relay) -> list[Route]:
    """The routes of the API, area by area; the API description lists them in this order."""
    return [
        *accounts_resources.ROUTES,
        *tasks.ROUTES,
        *collaboration.ROUTES,
        *attachments.ROUTES,
        *analytics.ROUTES,
        *transfer.ROUTES,
        *personal_tokens.ROUTES,
        *administration.ROUTES,
        *groups.ROUTES,
        *notifications.ROUTES,
        *feedback.ROUTES,
        *realtime.routes(relay),
        *compat.ROUTES,
        *health.ROUTES,
    ]


class Background:
    """What runs beside the requests: started and stopped with the process."""

    def __init__(self, services: Services, relay: Relay, limits: RateLimits) -> None:
        self._services = services
        self._relay = relay
        self._limits = limits
        self._publisher_wakeup = PublisherWakeup(celery_sender())
        self._first_admin: asyncio.Task[None] | None = None

    async def process_startup(self, _scope: dict[str, Any], _event: dict[str, Any]) -> None:
        """Start; nothing here waits for a server that may be down."""
        self._publisher_wakeup.start()
        self._relay.start()
        self._first_admin = asyncio.create_task(self._ensure_admin(), name="first-admin")

    async def process_shutdown(self, _scope: dict[str, Any], _event: dict[str, Any]) -> None:
        """Stop, the listeners first."""
        if self._first_admin is not None:
            self._first_admin.cancel()
        await self._relay.stop()
        await self._publisher_wakeup.stop()
        await self._limits.close()
        await self._services.redis.aclose()
        self._services.bridge.close()
        # uvicorn ends with the signal that it was sent, so no exit handler would write the last lines.
        logs.finish()

    async def _ensure_admin(self) -> None:
        settings = self._services.settings
        if settings.admin_email is None or settings.admin_password is None:
            return
        # No server announces that it is back, so this asks again.
        while not await self._try_to_make_admin(  # noqa: ASYNC110 - see above.
            settings.admin_email, settings.admin_password.get_secret_value()
        ):
            await asyncio.sleep(_STARTUP_RETRY_SECONDS)

    async def _try_to_make_admin(self, email: str, password: str) -> bool:
        """Make the first admin; returns whether that is settled.

        An account that exists is left as it is: anybody may have registered under that email.
        """
        rounds = self._services.settings.bcrypt_rounds
        try:
            await self._services.bridge.run(accounts.register_admin, email, password, rounds)
        except Rejected:
            return True
        except (Failure, PeeweeException) as error:
            log.warning("first_admin_delayed", reason=type(error).__name__)
            return False
        log.info("first_admin_created")
        return True


def create_app(settings: Settings) -> App:
    """Build the API."""
    services = _services(settings)
    relay = Relay(settings, services.bridge, services.authenticator)
    router = Router()
    limits = RateLimits(settings, router)
    middleware: list[Any] = [
        RequestContext(settings),
        CrossOrigin(settings.allowed_origins),
        AuthenticationMiddleware(services.authenticator),
        limits,
        Background(services, relay, limits),
    ]
    app: App = falcon.asgi.App(router=router, middleware=middleware)
    app.req_options.strip_url_path_trailing_slash = True
    # Sockets read all the time themselves, so Falcon need not read ahead for them.
    app.ws_options.max_receive_queue = 0
    bodies.install(app, settings.max_body_bytes, settings.attachment_max_bytes)
    errors.install(app)
    _add_routes(app, services, routes(relay))
    _add_routes(app, services, documents.routes(openapi.build_description(settings.app_name, router.paths)))
    return app


def _services(settings: Settings) -> Services:
    db.configure(
        settings.database_url.get_secret_value(), application="web", statement_seconds=settings.database_timeout
    )
    bridge = Bridge(
        database_threads=settings.database_threads,
        database_seconds=settings.database_timeout,
        password_threads=settings.password_threads,
    )
    issuer = TokenIssuer(settings.secret_key.get_secret_value(), settings.access_token_minutes * 60)
    return Services(
        settings=settings,
        bridge=bridge,
        authenticator=Authenticator(issuer, bridge, settings.session_cache_seconds),
        issuer=issuer,
        storage=storage_for(settings),
        redis=Redis.from_url(settings.redis_url.get_secret_value(), socket_timeout=1, socket_connect_timeout=1),
    )


def _add_routes(app: App, services: Services, declared: list[Route]) -> None:
    """Add routes; a resource that several of them name is made once."""
    resources: dict[ResourceFactory, object] = {}
    for route in declared:
        if route.resource not in resources:
            resources[route.resource] = route.resource(services)
        app.add_route(route.path, resources[route.resource], suffix=route.suffix)
