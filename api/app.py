"""The composition root: everything that the API is made of, and every route it has."""

import asyncio
from typing import Any, Final

import falcon.asgi
import structlog
from falcon.asgi import Request, Response
from peewee import PeeweeException
from redis.asyncio import Redis

from api.accounts.administration import AccountCollection, AccountItem, AuditLog, OwnAccount
from api.accounts.personal_tokens import PersonalTokenCollection, PersonalTokenItem
from api.accounts.resources import (
    LogIn,
    LogOut,
    Me,
    Refresh,
    Register,
    SessionCollection,
    SessionItem,
    TokenGranter,
)
from api.analytics.resources import AnalyticsSummary
from api.compat.resources import EarlierLogin, EarlierTask, EarlierTasks, EarlierUser, EarlierUsers
from api.feedback.resources import FeedbackCollection
from api.groups.resources import GroupCollection, GroupItem, GroupMemberItem
from api.http import bodies, errors, openapi
from api.http.auth import AuthenticationMiddleware, Authenticator
from api.http.idempotency import VERSION_PREFIX
from api.http.middleware import CrossOrigin, RequestContext
from api.http.rate_limits import RateLimits
from api.http.routing import Router
from api.http.threads import Bridge
from api.notifications.resources import (
    MailPreferenceItem,
    NotificationCollection,
    NotificationItem,
    Unsubscription,
)
from api.ops import documents
from api.ops.health import Liveness, Ready
from api.realtime.publisher_wakeup import PublisherWakeup, celery_sender
from api.realtime.relay import Relay
from api.realtime.resources import Sockets, Tickets
from api.tasks.attachments import AttachmentCollection, AttachmentContent, AttachmentItem
from api.tasks.collaboration import (
    Activity,
    CommentCollection,
    CommentItem,
    Delegations,
    ReminderCollection,
    ReminderItem,
)
from api.tasks.resources import TaskBulk, TaskCollection, TaskItem
from api.tasks.transfer import TaskExport, TaskImport
from core import db, logs, security
from core.config import Settings
from core.errors import Failure, Rejected
from core.policy import Role
from core.security import TokenIssuer
from core.services import accounts
from core.storage import storage_for

log = structlog.get_logger()

V1: Final = VERSION_PREFIX
_STARTUP_RETRY_SECONDS: Final = 2.0

App = falcon.asgi.App[Request, Response]

RouteRow = tuple[str, object, str | None]
"""A path, its resource, and the suffix of the resource's responders where it has one."""


class Services:
    """What lives as long as the process does; started and stopped with it."""

    def __init__(self, settings: Settings) -> None:
        db.configure(
            settings.database_url.get_secret_value(), application="web", statement_seconds=settings.database_timeout
        )
        self.settings = settings
        self.bridge = Bridge(
            database_threads=settings.database_threads,
            database_seconds=settings.database_timeout,
            password_threads=settings.password_threads,
        )
        self.storage = storage_for(settings)
        self.issuer = TokenIssuer(settings.secret_key.get_secret_value(), settings.access_token_minutes * 60)
        self.authenticator = Authenticator(self.issuer, self.bridge, settings.session_cache_seconds)
        self.redis = Redis.from_url(settings.redis_url.get_secret_value(), socket_timeout=1, socket_connect_timeout=1)
        self.limits = RateLimits(settings)
        self.relay = Relay(settings, self.bridge, self.authenticator)
        self.wake_up = PublisherWakeup(celery_sender())
        self._first_admin: asyncio.Task[None] | None = None

    async def process_startup(self, _scope: dict[str, Any], _event: dict[str, Any]) -> None:
        """Start what runs in the background; nothing here waits for a server that may be down."""
        self.wake_up.start()
        self.relay.start()
        self._first_admin = asyncio.create_task(self._ensure_admin(), name="first-admin")

    async def process_shutdown(self, _scope: dict[str, Any], _event: dict[str, Any]) -> None:
        """Stop it again, the listeners first."""
        if self._first_admin is not None:
            self._first_admin.cancel()
        await self.relay.stop()
        await self.wake_up.stop()
        await self.limits.close()
        await self.redis.aclose()
        self.bridge.close()
        # uvicorn ends with the signal that it was sent, so no exit handler would write the last lines.
        logs.finish()

    async def _ensure_admin(self) -> None:
        email, password = self.settings.admin_email, self.settings.admin_password
        if email is None or password is None:
            return
        # Nobody tells when a server is back, so this asks again.
        while not await self._try_to_make_admin(email, password.get_secret_value()):  # noqa: ASYNC110 - see above.
            await asyncio.sleep(_STARTUP_RETRY_SECONDS)

    async def _try_to_make_admin(self, email: str, password: str) -> bool:
        """Make the first admin; answers whether that is settled.

        An account that exists is left as it is: anybody may have registered under that email.
        """
        try:
            if await self.bridge.run(accounts.find_credentials, email) is not None:
                return True
            password_hash = await self.bridge.run_bcrypt(security.hash_password, password, self.settings.bcrypt_rounds)
            await self.bridge.run(
                accounts.register,
                username=email,
                email=email,
                full_name=None,
                password_hash=password_hash,
                role=Role.ADMIN,
            )
        except Rejected:
            return True
        except (Failure, PeeweeException) as error:
            log.warning("first_admin_delayed", reason=type(error).__name__)
            return False
        log.info("first_admin_created")
        return True


def create_app(settings: Settings) -> App:
    """Build the API."""
    services = Services(settings)
    router = Router()
    middleware: list[Any] = [
        RequestContext(settings),
        CrossOrigin(settings.allowed_origins),
        AuthenticationMiddleware(services.authenticator),
        services.limits,
        services,
    ]
    app: App = falcon.asgi.App(router=router, middleware=middleware)
    app.req_options.strip_url_path_trailing_slash = True
    # Sockets read all the time themselves, so Falcon need not read ahead for them.
    app.ws_options.max_receive_queue = 0
    bodies.install(app, settings.max_body_bytes, settings.attachment_max_bytes)
    errors.install(app)
    for path, resource, suffix in routes(services):
        app.add_route(path, resource, suffix=suffix)
    _add_pages(app, openapi.build_document(settings.app_name, router.routes))
    return app


def routes(services: Services) -> list[RouteRow]:
    """Every route of the API."""
    bridge, authenticator, settings = services.bridge, services.authenticator, services.settings
    granter = TokenGranter(services.issuer, secure_cookie=not settings.is_development)
    register = Register(bridge, settings.bcrypt_rounds)
    log_in = LogIn(bridge, granter, settings)
    log_out = LogOut(bridge, authenticator)
    me = Me(bridge, authenticator, settings.bcrypt_rounds)
    own_account = OwnAccount(bridge, authenticator)
    task_collection = TaskCollection(bridge)
    delegations = Delegations(bridge)
    notifications = NotificationCollection(bridge)
    earlier_tasks = EarlierTasks(bridge)
    earlier_task = EarlierTask(bridge)
    attachments = "/tasks/{task_id:id}/attachments"
    one_attachment = attachments + "/{attachment_id:id}"
    sockets = Sockets(settings, bridge, authenticator, services.relay)
    versioned_and_not: list[RouteRow] = [
        ("/auth/register", register, None),
        ("/auth/login", log_in, None),
        ("/auth/refresh", Refresh(bridge, granter, services.issuer, settings.allowed_origins), None),
        ("/auth/logout", log_out, None),
        ("/auth/logout_all", log_out, "all"),
        ("/auth/sessions", SessionCollection(bridge), None),
        ("/auth/sessions/{session_id:id}", SessionItem(bridge, authenticator), None),
        ("/auth/me", me, None),
        ("/tasks/bulk", TaskBulk(bridge), None),
        ("/tasks/{task_id:id}", TaskItem(bridge), None),
        ("/tasks/{task_id:id}/delegate", delegations, "delegate"),
        ("/tasks/{task_id:id}/delegations", delegations, None),
        ("/tasks/{task_id:id}/comments", CommentCollection(bridge), None),
        ("/tasks/{task_id:id}/comments/{comment_id:id}", CommentItem(bridge), None),
        ("/tasks/{task_id:id}/reminders", ReminderCollection(bridge), None),
        ("/tasks/{task_id:id}/reminders/{reminder_id:id}", ReminderItem(bridge), None),
        ("/tasks/{task_id:id}/activity", Activity(bridge), None),
        (attachments, AttachmentCollection(bridge, services.storage, settings), None),
        (one_attachment, AttachmentItem(bridge), None),
        (f"{one_attachment}/content", AttachmentContent(bridge, services.storage), None),
        ("/analytics", AnalyticsSummary(bridge), None),
    ]
    versioned: list[RouteRow] = [
        ("/tasks", task_collection, None),
        ("/tasks/export", TaskExport(bridge), None),
        ("/tasks/import", TaskImport(bridge, settings.import_max_bytes), None),
        ("/users/me", me, None),
        ("/users/about_me", me, None),
        ("/auth/tokens", PersonalTokenCollection(bridge, services.issuer), None),
        ("/auth/tokens/{token_id:id}", PersonalTokenItem(bridge, authenticator), None),
        ("/users/me/export", own_account, "export"),
        ("/users/me/delete", own_account, "delete"),
        ("/users", AccountCollection(bridge), None),
        ("/users/{user_id:id}", AccountItem(bridge, authenticator), None),
        ("/groups", GroupCollection(bridge), None),
        ("/groups/{group_id:id}", GroupItem(bridge), None),
        ("/groups/{group_id:id}/members/{user_id:id}", GroupMemberItem(bridge), None),
        ("/notifications", notifications, None),
        ("/notifications/unread", notifications, "unread"),
        ("/notifications/read_all", notifications, "read_all"),
        ("/notifications/{notification_id:id}/read", NotificationItem(bridge), "read"),
        ("/notifications/preferences", MailPreferenceItem(bridge), None),
        ("/notifications/unsubscribe", Unsubscription(bridge, services.issuer), None),
        ("/audit", AuditLog(bridge), None),
        ("/feedback", FeedbackCollection(bridge), None),
        ("/ws/tickets", Tickets(bridge, settings), None),
    ]
    unversioned: list[RouteRow] = [
        ("/tasks", task_collection, "array"),
        ("/user", EarlierUsers(register), None),
        ("/user/{user_id:id}", EarlierUser(bridge), None),
        ("/login", EarlierLogin(log_in), None),
        ("/task", earlier_tasks, None),
        ("/task/tasks", earlier_tasks, "in_tasks"),
        ("/task/{task_id:id}", earlier_task, None),
        ("/task/tasks/{task_id:id}", earlier_task, "in_tasks"),
        ("/ws", sockets, None),
        ("/ws/tasks/{client_id}", sockets, None),
        ("/health", Liveness(settings.app_name), None),
        ("/health/ready", Ready(settings.app_name, bridge, services.redis), None),
    ]
    return [
        *((V1 + path, resource, suffix) for path, resource, suffix in (*versioned_and_not, *versioned)),
        *versioned_and_not,
        *unversioned,
    ]


def _add_pages(app: App, document: dict[str, Any]) -> None:
    for path, page in documents.pages(document).items():
        app.add_route(path, page)
        app.add_route(V1 + path, page)
    app.add_route("/docs/assets/{name}", documents.Assets())
