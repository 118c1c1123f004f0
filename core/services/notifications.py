"""Notifications, which users see in the app, get over their WebSockets, and get by mail.

A notification is made in the transaction of the change that it is about, together with an event for the reader's
WebSockets. If the reader wants a mail, the notification's row also says that a mail must be sent (see
`core.services.mail`).
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

import orjson
from peewee import fn

from core import events
from core.db import connected, read, unit_of_work, write
from core.errors import NotFound
from core.messages import Message, language_of, msg, translate
from core.models.account import User
from core.models.base import json_object
from core.models.notification import Notification
from core.models.task import Task
from core.policy import Actor
from core.representations import Page, fetch_page, page_statement
from core.services.weather_texts import weather_in_words

_TEXTS: Final[dict[str, Message]] = {}


def _kind(name: str, text: Message) -> str:
    """Declare a kind of notification: its name, and the sentence that its reader gets."""
    _TEXTS[name] = text
    return name


# A new kind is one more line here, and a migration for the CHECK of the column `notifications.kind`.
ASSIGNED: Final = _kind("assigned", msg("{actor} gave you the task “{title}”."))
DELEGATED: Final = _kind("delegated", msg("{actor} passed the task “{title}” on to you."))
COMMENTED: Final = _kind("commented", msg("{actor} commented on the task “{title}”."))
REMINDER: Final = _kind("reminder", msg("A reminder of the task “{title}”."))
OVERDUE: Final = _kind("overdue", msg("The task “{title}” is overdue."))
WEATHER_WARNED: Final = _kind("weather_warned", msg("Bad weather is expected for the task “{title}”: {weather}."))
WEATHER_CLEARED: Final = _kind("weather_cleared", msg("Better weather is expected for the task “{title}”: {weather}."))
RESCHEDULED: Final = _kind("rescheduled", msg("The task “{title}” was moved to better weather: {weather}."))

KINDS: Final = tuple(_TEXTS)

_SOMEBODY: Final = msg("Somebody")
_UNREADABLE: Final = msg("This is about a task that you can no longer see.")

# The people who are responsible for a task: its owner, and its assignee or, if it has none, all members of its group.
# Members of the group who have commented before are notified of further comments too.
_PEOPLE = """
    SELECT t.user_id AS id FROM task t
    UNION SELECT t.assignee_id FROM task t
    UNION SELECT m.user_id FROM task t JOIN group_members m ON m.group_id = t.group_id WHERE t.assignee_id IS NULL
    UNION SELECT m.user_id FROM task t JOIN group_members m ON m.group_id = t.group_id
          JOIN comments c ON c.task_id = t.id AND c.user_id = m.user_id WHERE %(kind)s = 'commented'
"""

# A worker counts mails when it sends them (see `core.mail_caps`). In an hour in which it has refused one for a cap, no
# further mail under this cap is requested.
_NOTIFY = f"""
WITH task AS (SELECT * FROM tasks WHERE id = %(task_id)s),
     people AS (SELECT unnest(%(to)s::bigint[]) AS id
                UNION SELECT id FROM ({_PEOPLE}) responsible WHERE %(to)s::bigint[] IS NULL),
     n AS (
        INSERT INTO notifications (user_id, kind, task_id, actor_id, details, mail_status)
        SELECT u.id, %(kind)s, task.id, %(actor_id)s,
               json_build_object('title', task.title, 'due_at', task.due_at, 'due_on', task.due_on,
                   'said', %(said)s::text, 'actor', (
                   SELECT coalesce(full_name, split_part(username, '@', 1)) FROM users WHERE id = %(actor_id)s),
                   'weather', CASE WHEN %(reasons)s::json IS NOT NULL THEN
                       json_build_object('reasons', %(reasons)s::json, 'timezone', u.timezone) END),
               CASE WHEN u.email IS NOT NULL AND u.email_verified_at IS NOT NULL
                   AND %(kind)s <> ALL(u.unwanted_mail)
                   AND NOT EXISTS (SELECT FROM mail_counts capped
                       WHERE capped.period_start = date_trunc('hour', now()) AND capped.refused > 0
                       AND capped.subject IN ('all', 'recipient ' || u.id,
                                              'sender ' || coalesce(%(actor_id)s, task.user_id))) THEN 'pending' END
        FROM people JOIN users u ON u.id = people.id CROSS JOIN task
        WHERE u.is_active AND u.id IS DISTINCT FROM %(actor_id)s
        ORDER BY u.id
        RETURNING *)
SELECT n.user_id, n.mail_status IS NOT NULL, u.locale, {Notification.json("n")}
FROM n JOIN users u ON u.id = n.user_id ORDER BY n.id
"""

_READABLE = f"""(%(is_admin)s OR EXISTS (
    SELECT FROM tasks t WHERE t.id = notifications.task_id AND {Task.visible_to()}))"""
_WITHOUT_CONTENT = {
    "actor_id": f"CASE WHEN {_READABLE} THEN notifications.actor_id END AS actor_id",
    "details": f"""CASE WHEN {_READABLE} THEN notifications.details
        ELSE '{{"title": null, "due_at": null, "due_on": null, "said": null, "actor": null, "weather": null}}'
        END AS details""",
}

READER_JSON: Final = json_object(
    _WITHOUT_CONTENT.get(column.removeprefix("notifications."), column) for column in Notification.visible_columns()
)
"""A notification in SQL over `notifications`, as its reader (the parameters `actor_id` and `is_admin`) sees it.

If its reader may not read the task any more, it has no content. The row keeps it, so that it can be seen again later.
"""

_OF_READER = page_statement(
    Notification,
    where="user_id = %(actor_id)s AND (NOT %(unread)s OR read_at IS NULL)",
    order="id DESC",
    json=READER_JSON,
)

_UNREAD = "SELECT count(*) FROM notifications WHERE user_id = %(user_id)s AND read_at IS NULL"


def notify(
    kind: str,
    task_id: int,
    actor_id: int | None,
    *,
    to: Collection[int] | None = None,
    said: str | None = None,
    reasons: Collection[Mapping[str, Any]] | None = None,
) -> None:
    """Notify people of something about a task, in the running unit of work.

    Args:
        kind: Which of `KINDS` it is.
        task_id: The task.
        actor_id: The account that did it, which is not notified; None if no account did it.
        to: The accounts to notify; None for all who are responsible for the task.
        said: The text that the actor wrote, such as a comment.
        reasons: The weather that is expected, in comparison with each limit that the notification is about.
    """
    weather = None if reasons is None else orjson.dumps(reasons).decode()
    about = {"kind": kind, "task_id": task_id, "actor_id": actor_id, "said": said, "reasons": weather}
    rows = write(_NOTIFY, about | {"to": None if to is None else list(to)}).fetch_all()
    for user_id, by_mail, locale, notification in rows:
        data = described(notification, language_of(locale)) | {"by_mail": by_mail}
        events.record(events.NOTIFICATION_CREATED, audience=[user_id], data=data, actor_id=actor_id)


def text_of(kind: str, details: dict[str, Any], language: str) -> Message:
    """Return the sentence of a notification, not translated yet, with its numbers and times as in a language."""
    if details["title"] is None:
        return _UNREADABLE
    weather = details.get("weather")
    words = {} if weather is None else {"weather": weather_in_words(weather["reasons"], weather["timezone"], language)}
    return Message(_TEXTS[kind].template, actor=details["actor"] or _SOMEBODY, title=details["title"], **words)


def described(notification: dict[str, Any], language: str) -> dict[str, Any]:
    """Return a notification with its text in a language."""
    return notification | {
        "text": translate(text_of(notification["kind"], notification["details"], language), language)
    }


def list_notifications(actor: Actor, unread: bool, skip: int, limit: int) -> Page:
    """Read a page of the caller's notifications, the newest first; with `unread` only those not read yet.

    Those of tasks that the caller may not read any more have no content.
    """
    return fetch_page(_OF_READER, skip, limit, actor_id=actor.user_id, is_admin=actor.is_admin, unread=unread)


def in_language(page: Page, language: str) -> Page:
    """Return a page of notifications with their texts in a language."""
    return Page(orjson.dumps([described(item, language) for item in orjson.loads(page.items)]).decode(), page.total)


def count_unread(actor: Actor) -> int:
    """Count the notifications that the caller has not read."""
    return int(read(_UNREAD, {"user_id": actor.user_id}).fetch_value())


def mark_read(actor: Actor, notification_id: int) -> None:
    """Mark one of the caller's notifications as read.

    Raises:
        NotFound: if the caller has no such notification.
    """
    with unit_of_work():
        own = (Notification.id == notification_id) & (Notification.user_id == actor.user_id)
        if not Notification.update(read_at=fn.coalesce(Notification.read_at, fn.now())).where(own).execute():
            raise NotFound(msg("There is no such notification."), code="notification_not_found")


def mark_all_read(actor: Actor) -> None:
    """Mark all notifications of the caller as read."""
    with unit_of_work():
        unread = (Notification.user_id == actor.user_id) & Notification.read_at.is_null()
        Notification.update(read_at=fn.now()).where(unread).execute()


def mail_preferences(user_id: int) -> dict[str, bool]:
    """Read for each kind whether the account wants it by mail."""
    with connected():
        return _preferences(_unwanted(user_id).get_or_none())


def change_mail_preferences(user_id: int, changes: dict[str, bool]) -> dict[str, bool]:
    """Change for some kinds whether the account wants them by mail; returns this for all kinds.

    A link in a mail may do this for an account that was deleted in the meantime; then nothing is changed.
    """
    with unit_of_work():
        wanted = _preferences(_unwanted(user_id).for_update().get_or_none()) | changes
        unwanted = [kind for kind in KINDS if not wanted[kind]]
        User.update(unwanted_mail=unwanted).where(User.id == user_id).execute()
    return wanted


def _unwanted(user_id: int) -> Any:
    return User.select(User.id, User.unwanted_mail).where(User.id == user_id)


def _preferences(user: User | None) -> dict[str, bool]:
    return {kind: user is None or kind not in user.unwanted_mail for kind in KINDS}
