"""Builds the application from the routes of all areas, the middleware and the background tasks."""

import asyncio
from typing import Any, Final

import falcon.asgi
import structlog
from falcon.asgi import Request, Response
from peewee import PeeweeException

from api.accounts import (
    administration,
    email_addresses,
    invitation_page,
    invitations,
    password_resets,
    personal_tokens,
)
from api.accounts import resources as accounts_resources
from api.analytics import resources as analytics
from api.compat import resources as compat
from api.console import resources as console
from api.feedback import resources as feedback
from api.groups import resources as groups
from api.http import bodies, errors, openapi
from api.http.auth import AuthenticationMiddleware, Authenticator
from api.http.early_app import EarlyApp
from api.http.middleware import CrossOrigin, RequestContext
from api.http.rate_limits import RateLimits
from api.http.resource import Services
from api.http.routing import ResourceFactory, Route, Router
from api.http.threads import Bridge
from api.notifications import resources as notifications
from api.ops import documents, failed_work, health, operations
from api.places import resources as places
from api.realtime import resources as realtime
from api.realtime.publisher_wakeup import PublisherWakeup, signal_sender
from api.realtime.relay import Relay
from api.sampling import sample_regularly
from api.tasks import attachments, better_times, collaboration, transfer
from api.tasks import resources as tasks
from core import db, logs, redis_clients, tracing
from core.config import API_PREFIX, Settings
from core.errors import Failure, Rejected
from core.heartbeat import stop_heartbeat
from core.security import TokenIssuer
from core.services import accounts
from core.storage import storage_for
from core.weather import provider_for

log = structlog.get_logger()

_STARTUP_RETRY_SECONDS: Final = 2.0

App = falcon.asgi.App[Request, Response]


def routes(relay: Relay) -> list[Route]:
    """Return the routes of all areas. The API description lists them in this order, the versioned ones first."""
    declared = [
        *accounts_resources.ROUTES,
        *email_addresses.ROUTES,
        *invitations.ROUTES,
        *invitation_page.ROUTES,
        *tasks.ROUTES,
        *collaboration.ROUTES,
        *better_times.ROUTES,
        *attachments.ROUTES,
        *places.ROUTES,
        *analytics.ROUTES,
        *transfer.ROUTES,
        *personal_tokens.ROUTES,
        *password_resets.ROUTES,
        *administration.ROUTES,
        *failed_work.ROUTES,
        *operations.ROUTES,
        *groups.ROUTES,
        *notifications.ROUTES,
        *feedback.ROUTES,
        *realtime.routes(relay),
        *compat.ROUTES,
        *health.ROUTES,
    ]
    return sorted(declared, key=lambda route: not route.path.startswith(API_PREFIX))


class Background:
    """Starts and stops the background tasks together with the process."""

    def __init__(self, services: Services, relay: Relay, limits: RateLimits) -> None:
        self._services = services
        self._relay = relay
        self._limits = limits
        self._publisher_wakeup = PublisherWakeup(signal_sender(services.settings))
        self._first_admin: asyncio.Task[None] | None = None
        self._sampling: asyncio.Task[None] | None = None

    async def process_startup(self, _scope: dict[str, Any], _event: dict[str, Any]) -> None:
        """Start the background tasks. This does not wait for PostgreSQL, Redis or the broker, which may be down."""
        self._publisher_wakeup.start()
        self._relay.start()
        self._first_admin = asyncio.create_task(self._ensure_admin(), name="first-admin")
        if self._services.settings.metrics_port is not None:
            self._sampling = asyncio.create_task(sample_regularly(), name="sampling")

    async def process_shutdown(self, _scope: dict[str, Any], _event: dict[str, Any]) -> None:
        """Stop the tasks and close connections. The relay and the wake-up stop first, because they use the rest."""
        for task in (self._first_admin, self._sampling):
            if task is not None:
                task.cancel()
        try:
            await self._relay.stop()
            await self._publisher_wakeup.stop()
            await self._limits.close()
            await self._services.redis.aclose()
            self._services.bridge.close()
            await asyncio.to_thread(stop_heartbeat)
        finally:
            # uvicorn ends by sending itself the signal again, so no exit handler would run and write the last lines.
            tracing.finish()
            logs.finish()

    async def _ensure_admin(self) -> None:
        settings = self._services.settings
        if settings.admin_email is None or settings.admin_password is None:
            return
        # PostgreSQL sends no message when it is available again, so this has to retry.
        while not await self._try_to_create_admin(  # noqa: ASYNC110 - see above.
            settings.admin_email, settings.admin_password.get_secret_value()
        ):
            await asyncio.sleep(_STARTUP_RETRY_SECONDS)

    async def _try_to_create_admin(self, email: str, password: str) -> bool:
        """Create the first admin, and return whether no further attempt is needed.

        An existing account is not changed, because anybody may have registered with that email.
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
    """Build the ASGI application."""
    services = _services(settings)
    app, router = _app_without_documents(services)
    _add_routes(app, services, documents.routes(openapi.build_description(settings.app_name, router.paths)))
    _add_routes(app, services, console.routes(settings))
    return app


def describe(settings: Settings) -> dict[str, Any]:
    """Return the OpenAPI description of the API; no server is needed for this."""
    services = _services(settings)
    _, router = _app_without_documents(services)
    services.bridge.close()
    return openapi.build_description(settings.app_name, router.paths)


def _app_without_documents(services: Services) -> tuple[App, Router]:
    settings = services.settings
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
    app: App = EarlyApp(router=router, middleware=middleware)
    app.req_options.strip_url_path_trailing_slash = True
    # Our sockets read all the time, so Falcon need not receive messages in advance.
    app.ws_options.max_receive_queue = 0
    bodies.install(app, settings.max_body_bytes, settings.attachment_max_bytes)
    errors.install(app)
    _add_routes(app, services, routes(relay))
    return app, router


def _services(settings: Settings) -> Services:
    db.configure(
        settings.database_url.get_secret_value(), application="web", statement_seconds=settings.database_timeout
    )
    bridge = Bridge(
        database_threads=settings.database_threads,
        database_seconds=settings.database_timeout,
        password_threads=settings.password_threads,
    )
    issuer = TokenIssuer.from_settings(settings)
    return Services(
        settings=settings,
        bridge=bridge,
        authenticator=Authenticator(issuer, bridge, settings.session_cache_seconds),
        issuer=issuer,
        storage=storage_for(settings),
        weather=provider_for(settings),
        redis=redis_clients.connect_async(
            settings.redis_url.get_secret_value(), socket_timeout=1, socket_connect_timeout=1
        ),
    )


def _add_routes(app: App, services: Services, declared: list[Route]) -> None:
    """Add the routes. Routes with the same resource factory share one resource."""
    resources: dict[ResourceFactory, object] = {}
    for route in declared:
        if route.resource not in resources:
            resources[route.resource] = route.resource(services)
        app.add_route(route.path, resources[route.resource], suffix=route.suffix)
