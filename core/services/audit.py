"""The audit log: who did what to which account, from which address. Admins can read it; it cannot be changed."""

from typing import Any, Final

from core.log_context import log_context
from core.models.audit import AuditEntry
from core.representations import Page, fetch_page, page_statement

REGISTERED: Final = "account.registered"
LOGGED_IN: Final = "login.succeeded"
LOGIN_FAILED: Final = "login.failed"
LOGIN_DELAYED: Final = "login.delayed"
REFRESH_REUSED: Final = "refresh.reused"
SESSIONS_ENDED: Final = "sessions.ended"
PROFILE_CHANGED: Final = "profile.changed"
EMAIL_VERIFICATION_SENT: Final = "email.verification_sent"
EMAIL_VERIFIED: Final = "email.verified"
EMAIL_CHANGE_REQUESTED: Final = "email.change_requested"
EMAIL_CHANGED: Final = "email.changed"
PASSWORD_CHANGED: Final = "password.changed"  # noqa: S105 - the name of an action.
PASSWORD_REFUSED: Final = "password.refused"  # noqa: S105 - the name of an action.
PASSWORD_RESET_REQUESTED: Final = "password.reset_requested"  # noqa: S105 - the name of an action.
PASSWORD_RESET: Final = "password.reset"  # noqa: S105 - the name of an action.
TOKEN_CREATED: Final = "token.created"  # noqa: S105 - the name of an action.
ACCOUNT_CHANGED: Final = "account.changed"
ACCOUNT_DELETED: Final = "account.deleted"
DATA_EXPORTED: Final = "data.exported"
INVITED: Final = "invitation.created"
INVITATION_ACCEPTED: Final = "invitation.accepted"
INVITATION_DELETED: Final = "invitation.deleted"
MEMBER_PUT: Final = "member.put"
MEMBER_REMOVED: Final = "member.removed"
WORK_RETRIED: Final = "work.retried"
WORK_DROPPED: Final = "work.dropped"

_ALL = page_statement(AuditEntry, where="%(user_id)s::bigint IS NULL OR user_id = %(user_id)s", order="id DESC")


def record(action: str, *, user_id: int | None, actor_id: int | None = None, **details: Any) -> None:
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


def read_audit_log(user_id: int | None, skip: int, limit: int) -> Page:
    """Read a page of the log, the newest entry first, of one account or of all."""
    return fetch_page(_ALL, skip, limit, user_id=user_id)
