"""The peewee models, one for each table and one module for each aggregate, with their named queries."""

from core.models.account import LoginFailure, Session, Ticket, User
from core.models.analytics import AnalyticsDelta, AnalyticsRollup
from core.models.attachment import Attachment, StoredFile
from core.models.audit import AuditEntry
from core.models.collaboration import Comment, Delegation, Reminder, TaskActivity
from core.models.event_log import EventLogState, LoggedEvent
from core.models.feedback import Feedback
from core.models.group import Group, GroupMember
from core.models.idempotency import IdempotencyKey
from core.models.notification import Notification
from core.models.task import Task

__all__ = [
    "AnalyticsDelta",
    "AnalyticsRollup",
    "Attachment",
    "AuditEntry",
    "Comment",
    "Delegation",
    "EventLogState",
    "Feedback",
    "Group",
    "GroupMember",
    "IdempotencyKey",
    "LoggedEvent",
    "LoginFailure",
    "Notification",
    "Reminder",
    "Session",
    "StoredFile",
    "Task",
    "TaskActivity",
    "Ticket",
    "User",
]
