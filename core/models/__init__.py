"""The peewee models, one module an aggregate, with their named queries."""

from core.models.account import Session, Ticket, User
from core.models.attachment import Attachment, StoredFile
from core.models.group import Group, GroupMember
from core.models.task import Task

__all__ = ["Attachment", "Group", "GroupMember", "Session", "StoredFile", "Task", "Ticket", "User"]
