"""Notifications: list them, mark them as read, and choose which kinds are also sent by mail."""

import base64
import hashlib
import html
from typing import Final

from falcon.asgi import Request, Response

from api.http.fields import ListOf
from api.http.languages import ReaderLanguage, reader_language
from api.http.operation import operation, unlisted
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
from core.messages import msg, translate
from core.policy import Actor, Scope
from core.representations import Page
from core.services import notifications
from core.services.notifications import KINDS

_STYLE: Final = (
    "body{font:1rem/1.5 system-ui,sans-serif;margin:15vh auto;max-width:32rem;padding:0 1.5rem}"
    "h1{font-size:1.5rem}button{font:inherit;padding:.5rem 1rem}"
)
_STYLE_DIGEST: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_PAGE_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_DIGEST}'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)

_TITLE: Final = msg("No more mails of this kind")
_QUESTION: Final = msg("Do you want no more mails of this kind? Nothing else changes, and you can turn them on again.")
_BUTTON: Final = msg("No more mails")

_DONE: Final = msg("You get no more mails of this kind.")
_FORM: Final = '<form method="post"><button>{button}</button></form>'

_PAGE: Final = """\
<!DOCTYPE html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
<p>{text}</p>
{form}
</main>
</body>
</html>
"""


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
        _write_page(req, resp, _QUESTION, _FORM)

    @operation(204, tag="notifications", public=True, errors=(401,))
    async def on_post(self, req: Request, resp: Response, query: UnsubscribeQuery) -> None:
        """Unsubscribe from one kind of mail.

        The token is that of the mail's `List-Unsubscribe` header. No login is needed, and the body is ignored.
        """
        user_id, kind = self.issuer.read_unsubscribe_token(query.token, KINDS)
        await self.bridge.run(notifications.change_mail_preferences, user_id, {kind: False})
        if "text/html" in req.accept:
            resp.status = 200
            _write_page(req, resp, _DONE, "")


def _write_page(req: Request, resp: Response, text: str, form: str) -> None:
    language = reader_language(req)
    texts = {"title": _TITLE, "text": text, "button": _BUTTON}
    translated = {name: html.escape(translate(value, language)) for name, value in texts.items()}
    resp.content_type = "text/html; charset=utf-8"
    resp.set_header("Content-Security-Policy", _PAGE_POLICY)
    resp.set_header("Content-Language", language)
    resp.text = _PAGE.format(language=language, style=_STYLE, form=form.format(**translated), **translated)


ROUTES: Final = [
    *versioned("/notifications", NotificationCollection),
    *versioned("/notifications/unread", NotificationCollection, "unread"),
    *versioned("/notifications/read_all", NotificationCollection, "read_all"),
    *versioned("/notifications/{notification_id:id}/read", NotificationItem, "read"),
    *versioned("/notifications/preferences", MailPreferenceItem),
    *versioned("/notifications/unsubscribe", Unsubscription),
]
