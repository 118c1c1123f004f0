"""Notifications: what one is told, what one has read, and what one wants by mail."""

import base64
import hashlib
import html
from typing import Final

import orjson
from falcon.asgi import Request, Response

from api.http.languages import reader_language
from api.http.operation import document, unlisted
from api.http.responses import answer_page
from api.http.threads import Bridge
from api.notifications.schemas import (
    MailKinds,
    MailPreferences,
    NotificationList,
    NotificationQuery,
    UnreadCount,
    UnsubscribeQuery,
)
from core.messages import msg, translate
from core.policy import Scope
from core.security import TokenIssuer
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


class NotificationCollection:
    """The caller's notifications."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    @document(
        summary="List notifications",
        description="The newest first; with `unread=true` those that have not been read.",
        scope=Scope.TASKS_READ,
        query=NotificationQuery,
        answer=(200, NotificationList),
        headers=("X-Total-Count",),
        tag="notifications",
    )
    async def on_get(self, req: Request, resp: Response) -> None:
        """Answer a page of notifications."""
        query: NotificationQuery = req.context.query
        find = notifications.list_notifications
        page = await self._bridge.run(find, req.context.actor, query.unread, query.skip, query.limit)
        language = reader_language(req)
        resp.set_header("Content-Language", language)
        answer_page(resp, notifications.in_language(page, language), query)

    @document(
        summary="Count unread notifications", scope=Scope.TASKS_READ, answer=(200, UnreadCount), tag="notifications"
    )
    async def on_get_unread(self, req: Request, resp: Response) -> None:
        """Answer how many have not been read."""
        unread = await self._bridge.run(notifications.count_unread, req.context.actor)
        resp.data = orjson.dumps({"unread": unread})

    @document(summary="Mark all as read", scope=Scope.TASKS_WRITE, answer=(204, None), tag="notifications")
    async def on_post_read_all(self, req: Request, resp: Response) -> None:
        """Note that all have been read."""
        await self._bridge.run(notifications.mark_all_read, req.context.actor)
        resp.status = 204


class NotificationItem:
    """One notification."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    @document(
        summary="Mark one as read", scope=Scope.TASKS_WRITE, answer=(204, None), errors=(404,), tag="notifications"
    )
    async def on_post_read(self, req: Request, resp: Response, notification_id: int) -> None:
        """Note that it has been read."""
        await self._bridge.run(notifications.mark_read, req.context.actor, notification_id)
        resp.status = 204


class MailPreferenceItem:
    """What the caller wants by mail."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    @document(summary="Read what comes by mail", answer=(200, MailPreferences), tag="notifications")
    async def on_get(self, req: Request, resp: Response) -> None:
        """Answer it for each kind."""
        preferences = await self._bridge.run(notifications.mail_preferences, req.context.actor.user_id)
        resp.data = orjson.dumps(preferences)

    @document(summary="Say what comes by mail", body=MailKinds, answer=(200, MailPreferences), tag="notifications")
    async def on_patch(self, req: Request, resp: Response) -> None:
        """Change it for the kinds that the body names."""
        body: MailKinds = req.context.json
        change = notifications.change_mail_preferences
        resp.data = orjson.dumps(await self._bridge.run(change, req.context.actor.user_id, body.changes()))


class Unsubscription:
    """The link at the end of every mail: a page for people, and one click for their mail programs (RFC 8058)."""

    def __init__(self, bridge: Bridge, issuer: TokenIssuer) -> None:
        self._bridge = bridge
        self._issuer = issuer

    @unlisted
    async def on_get(self, req: Request, resp: Response) -> None:
        """Ask: programs that look into mails follow links, and must not change anything by that."""
        _answer_page(req, resp, _QUESTION, _FORM)

    @document(
        summary="Want no more mails of a kind",
        description="With the token of a mail's `List-Unsubscribe`; no login, and the body does not matter.",
        query=UnsubscribeQuery,
        answer=(204, None),
        errors=(401,),
        public=True,
        tag="notifications",
    )
    async def on_post(self, req: Request, resp: Response) -> None:
        """End one kind of mail."""
        user_id, kind = self._issuer.read_unsubscribe_token(req.context.query.token, KINDS)
        await self._bridge.run(notifications.change_mail_preferences, user_id, {kind: False})
        if "text/html" in req.accept:
            _answer_page(req, resp, _DONE, "")
        else:
            resp.status = 204


def _answer_page(req: Request, resp: Response, text: str, form: str) -> None:
    language = reader_language(req)
    said = {"title": _TITLE, "text": text, "button": _BUTTON}
    translated = {name: html.escape(translate(value, language)) for name, value in said.items()}
    resp.content_type = "text/html; charset=utf-8"
    resp.set_header("Content-Security-Policy", _PAGE_POLICY)
    resp.set_header("Content-Language", language)
    resp.text = _PAGE.format(language=language, style=_STYLE, form=form.format(**translated), **translated)
