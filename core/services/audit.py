"""The audit log: who did what to which account, from which address. Admins can read it; it cannot be changed."""

import base64
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, NewType

import orjson

from core.db import read
from core.log_context import log_context
from core.models.audit import AuditEntry
from core.representations import CursorPage, not_a_cursor, total_of_page

Action = NewType("Action", str)
"""What was done. All actions are declared here, so that a reader can choose one of them."""

_actions: Final[list[Action]] = []


def _action(name: str) -> Action:
    _actions.append(Action(name))
    return _actions[-1]


REGISTERED: Final = _action("account.registered")
LOGGED_IN: Final = _action("login.succeeded")
LOGIN_FAILED: Final = _action("login.failed")
LOGIN_DELAYED: Final = _action("login.delayed")
REFRESH_REUSED: Final = _action("refresh.reused")
SESSIONS_ENDED: Final = _action("sessions.ended")
PROFILE_CHANGED: Final = _action("profile.changed")
EMAIL_VERIFICATION_SENT: Final = _action("email.verification_sent")
EMAIL_VERIFIED: Final = _action("email.verified")
EMAIL_CHANGE_REQUESTED: Final = _action("email.change_requested")
EMAIL_CHANGED: Final = _action("email.changed")
PASSWORD_CHANGED: Final = _action("password.changed")
PASSWORD_REFUSED: Final = _action("password.refused")
PASSWORD_RESET_REQUESTED: Final = _action("password.reset_requested")
PASSWORD_RESET: Final = _action("password.reset")
TOKEN_CREATED: Final = _action("token.created")
ACCOUNT_CHANGED: Final = _action("account.changed")
ACCOUNT_DELETED: Final = _action("account.deleted")
DATA_EXPORTED: Final = _action("data.exported")
INVITED: Final = _action("invitation.created")
INVITATION_ACCEPTED: Final = _action("invitation.accepted")
INVITATION_DELETED: Final = _action("invitation.deleted")
MEMBER_PUT: Final = _action("member.put")
MEMBER_REMOVED: Final = _action("member.removed")
WORK_RETRIED: Final = _action("work.retried")
WORK_DROPPED: Final = _action("work.dropped")

ACTIONS: Final = tuple(_actions)
"""The names of all actions."""


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries are meant; None means any. `since` is the first time that is meant, `before` the first after it."""

    action: str | None = None
    actor_id: int | None = None
    user_id: int | None = None
    ip_address: str | None = None
    since: datetime | None = None
    before: datetime | None = None


_MATCHES: Final = """
(%(action)s::text IS NULL OR action = %(action)s) AND (%(actor_id)s::bigint IS NULL OR actor_id = %(actor_id)s)
AND (%(user_id)s::bigint IS NULL OR user_id = %(user_id)s)
AND (%(ip_address)s::text IS NULL OR ip_address = %(ip_address)s)
AND (%(since)s::timestamptz IS NULL OR at >= %(since)s) AND (%(before)s::timestamptz IS NULL OR at < %(before)s)"""

_COUNT: Final = f"(SELECT count(*) FROM audit_log WHERE {_MATCHES})"


def _page(total: str, after: str = "") -> str:
    """Return the statement of a page: its items, the total, and the place of its last item if more follow.

    `total` is the SQL of the total, `after` that of the place where the page begins. The time of an
    entry is that of the beginning of its transaction, so the ids alone are not in the order of the times.
    """
    return f"""
        SELECT coalesce(to_json((array_agg({AuditEntry.json()}))[:%(limit)s]), '[]')::text, {total},
               CASE WHEN count(*) > %(limit)s THEN (array_agg(json_build_array(at, id)))[%(limit)s]::text END
        FROM (SELECT * FROM audit_log WHERE {_MATCHES}{after}
              ORDER BY at DESC, id DESC OFFSET %(skip)s LIMIT %(limit)s + 1) audit_log
    """


_PAGE: Final = _page(total_of_page(_COUNT, read="%(limit)s + 1"))
_PAGE_AFTER: Final = _page(_COUNT, after=" AND (at, id) < (%(last_at)s, %(last_id)s)")


def record(action: Action, *, user_id: int | None, actor_id: int | None = None, **details: Any) -> None:
    """Record what happens to an account, in the running unit of work; the actor is the account itself by default.

    The details say what changed and never contain a secret. The address and the request id come from the log context.
    """
    context = log_context()
    AuditEntry.insert(
        action=action,
        actor_id=actor_id or user_id,
        user_id=user_id,
        ip_address=context.get("address"),
        request_id=context.get("request_id"),
        details=details,
    ).execute()


def read_audit_log(which: AuditFilter, cursor: str | None, skip: int, limit: int) -> CursorPage:
    """Read a page of the entries that match, the newest first.

    Raises:
        Invalid: if the cursor is not one of `CursorPage.next_cursor`.
    """
    sql = _PAGE if cursor is None else _PAGE_AFTER
    parameters = asdict(which) | _position(cursor) | {"skip": skip, "limit": limit}
    items, total, last = read(sql, parameters).fetch_exactly_one()
    return CursorPage(items, total, None if last is None else base64.urlsafe_b64encode(last.encode()).decode())


def _position(cursor: str | None) -> dict[str, Any]:
    """Return the place after which the page begins, as parameters of `_PAGE_AFTER`."""
    if cursor is None:
        return {}
    try:
        last_at, last_id = orjson.loads(base64.urlsafe_b64decode(cursor))
        place = {"last_at": datetime.fromisoformat(last_at), "last_id": last_id}
    except (ValueError, TypeError):
        raise not_a_cursor() from None
    if type(last_id) is not int or not 0 < last_id < 2**63:
        raise not_a_cursor()
    return place
