"""Notifications: list them, mark them as read, and choose which kinds are also sent by mail."""

from typing import Final

from falcon.asgi import Request, Response

from api.http.errors import write_status
from api.http.fields import ListOf
from api.http.languages import ReaderLanguage
from api.http.operation import operation, unlisted
from api.http.pages import PageForm, wants_page, write_page
from api.http.resource import Resource
from api.http.routing import versioned
from api.notifications.schemas import (
    MailKinds,
    MailPreferences,
    Notification,
    NotificationQuery,
    UnreadCount,
    UnsubscribeQuery,
)
from core.errors import Unauthenticated
from core.messages import msg
from core.policy import Actor, Scope
from core.representations import Page
from core.services import notifications
from core.services.notifications import KINDS

_TITLE: Final = msg("No more mails of this kind")
_QUESTION: Final = msg("Do you want no more mails of this kind? Nothing else changes, and you can turn them on again.")
_FORM: Final = PageForm(msg("No more mails"))
_NOT_DONE: Final = msg("Nothing has changed.")
_DONE: Final = msg("You get no more mails of this kind.")


class NotificationCollection(Resource):
    """The caller's notifications."""

    @operation(200, ListOf[Notification], tag="notifications", scope=Scope.TASKS_READ, headers=("X-Total-Count",))
    async def on_get(self, resp: Response, actor: Actor, query: NotificationQuery, language: ReaderLanguage) -> Page:
        """List notifications.

        The newest first; with `unread=true` those that have not been read.
        """
        page = await self.bridge.run(notifications.list_notifications, actor, query.unread, query.skip, query.limit)
        resp.set_header("Content-Language", language)
        return notifications.in_language(page, language)

    @operation(200, UnreadCount, tag="notifications", scope=Scope.TASKS_READ)
    async def on_get_unread(self, actor: Actor) -> dict[str, int]:
        """Count unread notifications."""
        return {"unread": await self.bridge.run(notifications.count_unread, actor)}

    @operation(204, tag="notifications", scope=Scope.TASKS_WRITE)
    async def on_post_read_all(self, actor: Actor) -> None:
        """Mark all notifications as read."""
        await self.bridge.run(notifications.mark_all_read, actor)


class NotificationItem(Resource):
    """One notification."""

    @operation(204, tag="notifications", scope=Scope.TASKS_WRITE, errors=(404,))
    async def on_post_read(self, actor: Actor, notification_id: int) -> None:
        """Mark a notification as read."""
        await self.bridge.run(notifications.mark_read, actor, notification_id)


class MailPreferenceItem(Resource):
    """The kinds of notifications that the caller gets by mail."""

    @operation(200, MailPreferences, tag="notifications")
    async def on_get(self, actor: Actor) -> dict[str, bool]:
        """Read the mail preferences."""
        return await self.bridge.run(notifications.mail_preferences, actor.user_id)

    @operation(200, MailPreferences, tag="notifications")
    async def on_patch(self, actor: Actor, body: MailKinds) -> dict[str, bool]:
        """Change the mail preferences."""
        return await self.bridge.run(notifications.change_mail_preferences, actor.user_id, body.changes())


class Unsubscription(Resource):
    """The unsubscribe link of each mail: a page for people, and the one-click request of mail programs (RFC 8058)."""

    @unlisted
    async def on_get(self, req: Request, resp: Response) -> None:
        """Show a page that asks for confirmation. Programs that scan mails open links, so a GET must change nothing."""
        write_page(req, resp, title=_TITLE, text=_QUESTION, form=_FORM)

    @operation(204, tag="notifications", public=True, errors=(401,))
    async def on_post(self, req: Request, resp: Response, query: UnsubscribeQuery) -> None:
        """Unsubscribe from one kind of mail.

        The token is that of the mail's `List-Unsubscribe` header. No login is needed, and the body is ignored.
        """
        try:
            user_id, kind = self.issuer.read_unsubscribe_token(query.token, KINDS)
        except Unauthenticated as failure:
            if not wants_page(req):
                raise
            write_status(resp, failure)
            write_page(req, resp, title=_TITLE, text=_NOT_DONE, error=failure.detail)
            return
        await self.bridge.run(notifications.change_mail_preferences, user_id, {kind: False})
        if wants_page(req):
            resp.status = 200
            write_page(req, resp, title=_TITLE, text=_DONE)


ROUTES: Final = [
    *versioned("/notifications", NotificationCollection),
    *versioned("/notifications/unread", NotificationCollection, "unread"),
    *versioned("/notifications/read_all", NotificationCollection, "read_all"),
    *versioned("/notifications/{notification_id:id}/read", NotificationItem, "read"),
    *versioned("/notifications/preferences", MailPreferenceItem),
    *versioned("/notifications/unsubscribe", Unsubscription),
]
