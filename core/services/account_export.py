"""The export of all data about one's own account: one JSON document, which is read and sent in parts.

Only one part is in memory at a time. The parts are read one after the other, so a change that is made meanwhile may be
in one of them and not in another.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import orjson

from core.db import read, unit_of_work
from core.models.account import User
from core.models.attachment import Attachment
from core.models.audit import AuditEntry
from core.models.base import json_object
from core.models.feedback import Feedback
from core.models.task import TASK_JSON
from core.policy import Actor
from core.services import audit
from core.services.notifications import READER_JSON

PART_LENGTH: Final = 100


@dataclass(frozen=True, slots=True)
class _Section:
    """An array of the document. `key` is the column by which its rows are sorted; all columns are SQL over `table`."""

    name: str
    table: str
    json: str
    owner: str = "user_id"
    key: str = "id"
    newest_first: bool = False

    def statement(self) -> str:
        """Return the SQL that reads up to `PART_LENGTH` rows, with their keys, after the row with the key `after`."""
        beyond, order = ("<", "DESC") if self.newest_first else (">", "ASC")
        return f"""
            SELECT {self.json}::text, {self.key} FROM {self.table}
            WHERE {self.owner} = %(actor_id)s AND (%(after)s::bigint IS NULL OR {self.key} {beyond} %(after)s)
            ORDER BY {self.key} {order} LIMIT {PART_LENGTH}
        """


def _section(name: str, columns: Iterable[str], owner: str = "user_id") -> _Section:
    """Declare an array with some columns of the table of its name."""
    return _Section(name, name, json_object(columns), owner)


_SECTIONS: Final = (
    _section("sessions", ["id", "ip_address", "user_agent", "created_at", "last_used_at"]),
    _Section("attachments", "attachments", Attachment.json()),
    _Section("tasks", "tasks t", TASK_JSON),
    _Section(
        "groups",
        "group_members m JOIN groups g ON g.id = m.group_id",
        json_object(["m.group_id", "g.name", "m.is_manager", "m.joined_at"]),
        key="m.group_id",
    ),
    _section("comments", ["id", "task_id", "body", "created_at", "updated_at"]),
    _section("delegations", ["id", "task_id", "from_id", "to_id", "note", "created_at"], owner="actor_id"),
    _section("reminders", ["id", "task_id", "remind_at", "seconds_before_due", "fires_at", "fired_at", "created_at"]),
    _Section("notifications", "notifications", READER_JSON),
    _section("invitations", ["id", "email", "group_id", "created_at", "expires_at", "accepted_at"], owner="inviter_id"),
    _section("weather_outcomes", ["id", "at", "kind", "task_id", "place_id"]),
    _Section("feedback", "feedback", Feedback.json()),
    _Section("audit", "audit_log", AuditEntry.json(), newest_first=True),
)
_STATEMENTS: Final = [section.statement() for section in _SECTIONS]


@dataclass(frozen=True, slots=True)
class Position:
    """Where a part begins: the number of its section, and the key of the row before it; None for the first row."""

    section: int
    after: int | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the document's text; `end` is where the next part begins, or None after the last one."""

    text: str
    end: Position | None


def begin_export(actor: Actor) -> Part:
    """Record in the audit log that the caller exports the data of the account, and read the first part."""
    with unit_of_work():
        audit.record(audit.DATA_EXPORTED, user_id=actor.user_id, what="account")
        profile = User.get_by_id(actor.user_id).profile()
    return Part(f'{{"profile":{orjson.dumps(profile).decode()}', Position(0))


def read_part(actor: Actor, position: Position) -> Part:
    """Read the part that begins at a position."""
    parameters = {"actor_id": actor.user_id, "is_admin": actor.is_admin, "after": position.after}
    rows = read(_STATEMENTS[position.section], parameters).fetch_all()
    text = ",".join(item for item, _ in rows)
    if position.after is None:
        text = f',"{_SECTIONS[position.section].name}":[{text}'
    elif rows:
        text = f",{text}"
    if len(rows) == PART_LENGTH:
        return Part(text, Position(position.section, rows[-1][1]))
    if position.section + 1 < len(_SECTIONS):
        return Part(f"{text}]", Position(position.section + 1))
    return Part(f"{text}]}}", None)
