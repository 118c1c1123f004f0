"""What people are told: in the app, over their sockets, and by mail.

A notification is made in the transaction of what it tells of, with an event for its reader's sockets and, if the reader
wants it, a mail that waits for a worker (see `core.services.mail`).
"""

from collections.abc import Collection, Iterable
from typing import Any, Final

import orjson

from core import events
from core.db import read, unit_of_work, write
from core.errors import NotFound
from core.messages import Message, language_of, msg, translate
from core.policy import Actor
from core.representations import Page, fetch_page

ASSIGNED: Final = "assigned"
DELEGATED: Final = "delegated"
COMMENTED: Final = "commented"
REMINDER: Final = "reminder"
OVERDUE: Final = "overdue"
KINDS: Final = (ASSIGNED, DELEGATED, COMMENTED, REMINDER, OVERDUE)

_TEXTS: Final = {
    ASSIGNED: msg("{actor} gave you the task “{title}”."),
    DELEGATED: msg("{actor} passed the task “{title}” on to you."),
    COMMENTED: msg("{actor} commented on the task “{title}”."),
    REMINDER: msg("A reminder of the task “{title}”."),
    OVERDUE: msg("The task “{title}” is overdue."),
}
# Anybody may give anybody tasks; nobody shall fill a mailbox that way.
_MAILS_AN_HOUR: Final = 30
_SOMEBODY: Final = msg("Somebody")

_JSON: Final = """json_build_object('id', n.id, 'kind', n.kind, 'task_id', n.task_id, 'actor_id', n.actor_id,
    'details', n.details, 'created_at', n.created_at, 'read_at', n.read_at)"""

# Those who have a task to do: its owner, and its assignee or, as long as it has none, all of its group. A comment is
# also for those of the group who have commented before.
_PEOPLE = """
    SELECT t.user_id AS id FROM task t
    UNION SELECT t.assignee_id FROM task t
    UNION SELECT m.user_id FROM task t JOIN group_members m ON m.group_id = t.group_id WHERE t.assignee_id IS NULL
    UNION SELECT m.user_id FROM task t JOIN group_members m ON m.group_id = t.group_id
          JOIN comments c ON c.task_id = t.id AND c.user_id = m.user_id WHERE %(kind)s = 'commented'
"""

_NOTIFY = f"""
WITH task AS (SELECT * FROM tasks WHERE id = %(task_id)s),
     people AS (SELECT unnest(%(to)s::bigint[]) AS id
                UNION SELECT id FROM ({_PEOPLE}) having_it WHERE %(to)s::bigint[] IS NULL),
     n AS (
        INSERT INTO notifications (user_id, kind, task_id, actor_id, details, mail_status)
        SELECT u.id, %(kind)s, task.id, %(actor_id)s,
               json_build_object('title', task.title, 'due_at', task.due_at, 'said', %(said)s::text, 'actor', (
                   SELECT coalesce(full_name, split_part(username, '@', 1)) FROM users WHERE id = %(actor_id)s)),
               CASE WHEN u.email IS NOT NULL AND %(kind)s <> ALL(u.unwanted_mail) AND %(mails_an_hour)s > (
                   SELECT count(*) FROM notifications m WHERE m.user_id = u.id AND m.mail_status IS NOT NULL
                   AND m.created_at > now() - interval '1 hour') THEN 'pending' END
        FROM people JOIN users u ON u.id = people.id CROSS JOIN task
        WHERE u.is_active AND u.id IS DISTINCT FROM %(actor_id)s
        ORDER BY u.id
        RETURNING *)
SELECT n.user_id, n.mail_status IS NOT NULL, u.locale, {_JSON} FROM n JOIN users u ON u.id = n.user_id ORDER BY n.id
"""

_LIST = f"""
SELECT coalesce(json_agg({_JSON} ORDER BY n.id DESC), '[]')::text,
       (SELECT count(*) FROM notifications WHERE user_id = %(user_id)s AND (NOT %(unread)s OR read_at IS NULL))
FROM (SELECT * FROM notifications WHERE user_id = %(user_id)s AND (NOT %(unread)s OR read_at IS NULL)
      ORDER BY id DESC OFFSET %(skip)s LIMIT %(limit)s) n
"""

_UNREAD = "SELECT count(*) FROM notifications WHERE user_id = %(user_id)s AND read_at IS NULL"

_MARK = """
UPDATE notifications SET read_at = coalesce(read_at, now()) WHERE id = %(id)s AND user_id = %(user_id)s RETURNING id
"""

_MARK_ALL = "UPDATE notifications SET read_at = now() WHERE user_id = %(user_id)s AND read_at IS NULL"


def notify(
    kind: str, task_id: int, actor_id: int | None, *, to: Collection[int] | None = None, said: str | None = None
) -> None:
    """Tell of something about a task, in the running unit of work.

    Args:
        kind: Which of `KINDS` it is.
        task_id: The task.
        actor_id: Who did it, and so need not be told; None where it came about by itself.
        to: Whom to tell; all who have the task to do, where it is left out.
        said: What somebody wrote about it.
    """
    about = {"kind": kind, "task_id": task_id, "actor_id": actor_id, "said": said, "mails_an_hour": _MAILS_AN_HOUR}
    rows = write(_NOTIFY, about | {"to": None if to is None else list(to)}).fetch_all()
    for user_id, by_mail, locale, notification in rows:
        told = described(notification, language_of(locale))
        events.record(
            events.NOTIFICATION_CREATED, audience=[user_id], data=told | {"by_mail": by_mail}, actor_id=actor_id
        )


def text_of(kind: str, details: dict[str, Any]) -> Message:
    """Say in one sentence what a notification tells."""
    return Message(_TEXTS[kind].template, actor=details["actor"] or _SOMEBODY, title=details["title"])


def described(notification: dict[str, Any], language: str) -> dict[str, Any]:
    """A notification with its text, in its reader's language."""
    return notification | {"text": translate(text_of(notification["kind"], notification["details"]), language)}


def list_notifications(actor: Actor, unread: bool, skip: int, limit: int) -> Page:
    """A page of the caller's notifications, the newest first; only those not read yet, where `unread` asks for them."""
    return fetch_page(_LIST, {"user_id": actor.user_id, "unread": unread, "skip": skip, "limit": limit})


def in_language(page: Page, language: str) -> Page:
    """A page of notifications with their texts."""
    return Page(orjson.dumps([described(item, language) for item in orjson.loads(page.items)]).decode(), page.total)


def count_unread(actor: Actor) -> int:
    """How many notifications the caller has not read."""
    return int(read(_UNREAD, {"user_id": actor.user_id}).fetch_value())


def mark_read(actor: Actor, notification_id: int) -> None:
    """Note that the caller has read one.

    Raises:
        NotFound: where the caller has no such notification.
    """
    with unit_of_work():
        if write(_MARK, {"id": notification_id, "user_id": actor.user_id}).fetch_one() is None:
            raise NotFound(msg("There is no such notification."), code="notification_not_found")


def mark_all_read(actor: Actor) -> None:
    """Note that the caller has read them all."""
    with unit_of_work():
        write(_MARK_ALL, {"user_id": actor.user_id})


def mail_preferences(user_id: int) -> dict[str, bool]:
    """For each kind, whether the account wants it by mail."""
    row = read("SELECT unwanted_mail FROM users WHERE id = %(user_id)s", {"user_id": user_id}).fetch_one()
    unwanted = [] if row is None else row[0]
    return {kind: kind not in unwanted for kind in KINDS}


def change_mail_preferences(user_id: int, changes: dict[str, bool]) -> dict[str, bool]:
    """Say of some kinds whether the account wants them by mail, and answer all."""
    with unit_of_work():
        read("SELECT id FROM users WHERE id = %s FOR UPDATE", (user_id,))
        wanted = mail_preferences(user_id) | changes
        _save_unwanted(user_id, [kind for kind in KINDS if not wanted[kind]])
    return wanted


def _save_unwanted(user_id: int, kinds: Iterable[str]) -> None:
    write("UPDATE users SET unwanted_mail = %s::text[] WHERE id = %s", (list(kinds), user_id))
