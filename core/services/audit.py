"""The audit log: who did what to which account, from where. Admins read it; nobody changes it."""

from typing import Any, Final

import orjson
from structlog.contextvars import get_contextvars

from core.db import write
from core.representations import Page, fetch_page

REGISTERED: Final = "account.registered"
LOGGED_IN: Final = "login.succeeded"
LOGIN_FAILED: Final = "login.failed"
REFRESH_REUSED: Final = "refresh.reused"
SESSIONS_ENDED: Final = "sessions.ended"
PROFILE_CHANGED: Final = "profile.changed"
PASSWORD_CHANGED: Final = "password.changed"  # noqa: S105 - the name of an action.
TOKEN_CREATED: Final = "token.created"  # noqa: S105 - the name of an action.
ACCOUNT_CHANGED: Final = "account.changed"
ACCOUNT_DELETED: Final = "account.deleted"

_RECORD = """
INSERT INTO audit_log (action, actor_id, user_id, ip_address, request_id, details)
VALUES (%(action)s, %(actor_id)s, %(user_id)s, %(ip_address)s, %(request_id)s, %(details)s)
"""

_READ = """
SELECT coalesce(json_agg(page), '[]')::text, (
    SELECT count(*) FROM audit_log WHERE %(user_id)s::bigint IS NULL OR user_id = %(user_id)s
) FROM (
    SELECT id, at, action, actor_id, user_id, ip_address, request_id, details FROM audit_log
    WHERE %(user_id)s::bigint IS NULL OR user_id = %(user_id)s
    ORDER BY id DESC OFFSET %(skip)s LIMIT %(limit)s
) page
"""


def record(action: str, *, user_id: int | None, actor_id: int | None = None, **details: Any) -> None:
    """Note what happens to an account, in the running unit of work; the actor is the account itself by default.

    Details name what changed and never hold a secret. Where the request came from is known from its context.
    """
    context = get_contextvars()
    write(
        _RECORD,
        {
            "action": action,
            "actor_id": actor_id or user_id,
            "user_id": user_id,
            "ip_address": context.get("address"),
            "request_id": context.get("request_id"),
            "details": orjson.dumps(details).decode(),
        },
    )


def read_audit_log(user_id: int | None, skip: int, limit: int) -> Page:
    """Read a page of the log, of one account or of all."""
    return fetch_page(_READ, {"user_id": user_id, "skip": skip, "limit": limit})
