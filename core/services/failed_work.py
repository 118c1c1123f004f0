"""Work that has failed: weather, mails of notifications and mails about accounts that wait for another attempt, or that
were given up. Operators list it, try it again, or drop it.

The view `failed_work` in PostgreSQL has one part for each kind. A further kind needs another part there, and a member
of `_KINDS` here.
"""

import base64
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

import orjson

from core import events
from core.db import read, unit_of_work, write
from core.representations import CursorPage, not_a_cursor
from core.retries import WaitingWork
from core.services import account_mails, audit, mail, weather

Kind = Literal["weather", "notification_mail", "account_mail"]
State = Literal["waiting", "given_up"]

MOST_AT_ONCE: Final = 200
"""How many pieces of work one call changes at most. Each task among them gets an event in the same transaction."""


class Work(NamedTuple):
    """A piece of work: its kind, and its id, which is that of a task, of a notification, or of a mail."""

    kind: Kind
    id: int


@dataclass(frozen=True, slots=True)
class Filter:
    """Which work is meant: that of a kind, in a state, or all."""

    kind: Kind | None = None
    state: State | None = None

    def parameters(self) -> dict[str, Any]:
        """Return the parameters of `_MATCHES`."""
        return {"kind": self.kind, "state": self.state}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call has changed: the ids by kind, and how much work that matches is left."""

    changed: Mapping[Kind, list[int]] = field(default_factory=dict)
    remaining: int = 0

    @property
    def count(self) -> int:
        """How many pieces of work were changed."""
        return sum(map(len, self.changed.values()))


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of work, the status that it has when it is dropped, and whether clients see its status in a task."""

    work: WaitingWork[Any]
    dropped: str | None
    is_of_task: bool = False


_KINDS: Final[dict[Kind, _Kind]] = {
    "weather": _Kind(weather.WAITING, weather.WAITING.given_up, is_of_task=True),
    "notification_mail": _Kind(mail.WAITING, None),
    "account_mail": _Kind(account_mails.WAITING, None),
}

_MATCHES: Final = "(%(kind)s::text IS NULL OR kind = %(kind)s) AND (%(state)s::text IS NULL OR state = %(state)s)"

_PAGE: Final = f"""
SELECT coalesce(to_json((array_agg(row_to_json(w)))[:%(limit)s]), '[]')::text,
       (SELECT count(*) FROM failed_work WHERE {_MATCHES}),
       CASE WHEN count(*) > %(limit)s THEN (array_agg(json_build_array(since, kind, id)))[%(limit)s]::text END
FROM (SELECT * FROM failed_work
      WHERE {_MATCHES} AND (%(since)s::timestamptz IS NULL OR since <= %(since)s)
          AND (%(since)s::timestamptz IS NULL OR (since, kind, id) < (%(since)s, %(after_kind)s, %(after_id)s))
      ORDER BY since DESC, kind DESC, id DESC OFFSET %(skip)s LIMIT %(limit)s + 1) w
"""

_MATCHING: Final = f"SELECT kind, id FROM failed_work WHERE {_MATCHES} ORDER BY since, kind, id LIMIT {MOST_AT_ONCE}"

_COUNT: Final = f"SELECT count(*) FROM failed_work WHERE {_MATCHES}"

# An attempt may be under way for work that waits. It ends within the time limit of jobs, which is less than a minute,
# so the next attempt does not begin before.
_RETRY: Final = """
{prefix}_status = 'pending', {prefix}_attempts = 0,
{prefix}_next_attempt_at = CASE WHEN is_waiting THEN least({prefix}_next_attempt_at, now() + interval '1 minute')
                                ELSE now() END"""

_DROP: Final = "{prefix}_status = %(dropped)s"

_CHANGE: Final = """
WITH chosen AS (
    SELECT id AS row_id, {prefix}_status = 'pending' AS is_waiting FROM {table}
    WHERE id = ANY(%(ids)s) AND {prefix}_failing_since IS NOT NULL AND {prefix}_status IN ('pending', %(given_up)s)
    ORDER BY id FOR UPDATE)
UPDATE {table} SET {change}, {prefix}_error = NULL, {prefix}_failing_since = NULL{also_set}
FROM chosen WHERE id = row_id
RETURNING id, is_waiting
"""

# Clients see the status of a task's weather, so a change of it is a new version of the task.
_NEW_VERSION: Final = """,
version = version + CASE WHEN is_waiting = %(seen_if_waiting)s THEN 1 ELSE 0 END,
updated_at = CASE WHEN is_waiting = %(seen_if_waiting)s THEN now() ELSE updated_at END"""


def list_failed_work(which: Filter, cursor: str | None, skip: int, limit: int) -> CursorPage:
    """Read a page of the work that has failed: that which began to fail last comes first.

    Raises:
        Invalid: if the cursor is not one of `CursorPage.next_cursor`.
    """
    place = {"skip": skip, "limit": limit} | _position(cursor)
    items, total, last = read(_PAGE, which.parameters() | place).fetch_exactly_one()
    return CursorPage(items, total, None if last is None else base64.urlsafe_b64encode(last.encode()).decode())


def retry(actor_id: int | None, work: Collection[Work]) -> Outcome:
    """Try these pieces of work again, from the first attempt; those that have not failed stay as they are.

    Work that was given up is due at once. Work that waits is due within a minute: an attempt may be under way, and
    another one must not begin beside it.

    Args:
        actor_id: The admin, or None if the operator does it on the command line.
        work: At most `MOST_AT_ONCE` pieces.
    """
    return _change(actor_id, work, _RETRY, audit.WORK_RETRIED)


def drop(actor_id: int | None, work: Collection[Work]) -> Outcome:
    """Let these pieces of work rest for ever; those that have not failed stay as they are.

    A mail is not sent any more, and the weather of a task is unavailable. An attempt that is under way is not stopped.
    The arguments are those of `retry()`.
    """
    return _change(actor_id, work, _DROP, audit.WORK_DROPPED)


def retry_matching(actor_id: int | None, which: Filter) -> Outcome:
    """Do what `retry()` does to the oldest work that matches, to `MOST_AT_ONCE` pieces at most."""
    return _change_matching(actor_id, which, _RETRY, audit.WORK_RETRIED)


def drop_matching(actor_id: int | None, which: Filter) -> Outcome:
    """Do what `drop()` does to the oldest work that matches, to `MOST_AT_ONCE` pieces at most."""
    return _change_matching(actor_id, which, _DROP, audit.WORK_DROPPED)


def _change_matching(actor_id: int | None, which: Filter, change: str, action: audit.Action) -> Outcome:
    with unit_of_work():
        matching = [Work(*row) for row in read(_MATCHING, which.parameters()).fetch_all()]
        outcome = _change(actor_id, matching, change, action)
        return Outcome(outcome.changed, read(_COUNT, which.parameters()).fetch_value())


def _change(actor_id: int | None, work: Collection[Work], change: str, action: audit.Action) -> Outcome:
    changed: dict[Kind, list[int]] = {}
    with unit_of_work():
        for kind in _KINDS:
            ids = [piece.id for piece in work if piece.kind == kind]
            if ids and (done := _change_kind(actor_id, kind, ids, change)):
                changed[kind] = done
        if changed:
            audit.record(action, user_id=None, actor_id=actor_id, work=changed)
    return Outcome(changed)


def _change_kind(actor_id: int | None, name: Kind, ids: list[int], change: str) -> list[int]:
    kind = _KINDS[name]
    prefix, seen_if_waiting = kind.work.prefix, change == _DROP
    sql = _CHANGE.format(
        table=kind.work.table,
        prefix=prefix,
        change=change.format(prefix=prefix),
        also_set=_NEW_VERSION if kind.is_of_task else "",
    )
    parameters = {
        "ids": ids,
        "given_up": kind.work.given_up,
        "dropped": kind.dropped,
        "seen_if_waiting": seen_if_waiting,
    }
    rows = write(sql, parameters).fetch_all()
    if kind.is_of_task:
        for task_id, is_waiting in rows:
            if is_waiting == seen_if_waiting:
                events.record_task(events.TASK_UPDATED, task_id, actor_id)
    return sorted(row_id for row_id, _ in rows)


def _position(cursor: str | None) -> dict[str, Any]:
    """Return where the page begins, as parameters of `_PAGE`."""
    if cursor is None:
        return {"since": None, "after_kind": None, "after_id": None}
    try:
        since, kind, row_id = orjson.loads(base64.urlsafe_b64decode(cursor))
        place = {"since": datetime.fromisoformat(since), "after_kind": kind, "after_id": row_id}
    except (ValueError, TypeError):
        raise not_a_cursor() from None
    if not isinstance(kind, str) or kind not in _KINDS or type(row_id) is not int or not 0 < row_id < 2**63:
        raise not_a_cursor()
    return place
