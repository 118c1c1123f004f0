"""The files of tasks: adding, reading and deleting them, the quota of a user, and removing files without attachment.

A file gets a row in the database before it is put into the storage, and is attached to a task only after that. So after
a crash there is at most a stored file that no attachment refers to. Deleting an attachment, a task or an account has
the same effect. The sweep removes these files.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
import structlog
from peewee import fn

from core import events, jobs
from core.db import connected, read, unit_of_work
from core.errors import Conflict, Forbidden, NotFound, TooLarge, Unavailable
from core.files import FileFacts
from core.jobs import JobContext
from core.messages import msg
from core.models.attachment import Attachment, StoredFile
from core.policy import Actor, TaskAccess, may_delete_attachment, may_read_task, may_update_task
from core.representations import (
    Page,
    Representation,
    fetch_listing,
    fetch_page,
    listing_statement,
    page_statement,
    write_one,
)
from core.services.sessions import session_ended
from core.services.task_access import require_access, require_readable
from core.storage import Storage, new_key

log = structlog.get_logger()

# An upload must be attached within the first time. The sweep only removes files that are older than the second, longer
# time, so it never removes a file that can still be attached.
_MAX_AGE_TO_ATTACH: Final = timedelta(minutes=30)
_MIN_AGE_TO_REMOVE: Final = timedelta(hours=1)

_SWEEP_BATCH: Final = 50
# Much shorter than the time limit of a job.
_SWEEP_SECONDS: Final = 20.0

_OF_TASK = page_statement(Attachment, where="task_id = %(task_id)s", order="id")

_OF_UPLOADER = listing_statement(Attachment, where="user_id = %(user_id)s", order="id")

_READ = f"SELECT {Attachment.json()}::text FROM attachments WHERE id = %(attachment_id)s AND task_id = %(task_id)s"

# With this lock uploads of one user check the quota one after the other. It is the weakest lock that conflicts with
# itself.
_LOCK_UPLOADER = "SELECT id FROM users WHERE id = %(user_id)s FOR NO KEY UPDATE"

_UNREFERENCED = """
SELECT f.key FROM stored_files f
WHERE f.created_at < %(before)s AND NOT EXISTS (SELECT FROM attachments a WHERE a.file_key = f.key)
ORDER BY f.created_at LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class Content:
    """The key of an attachment's bytes in the storage, and the facts about them."""

    key: str
    facts: FileFacts


def require_upload(actor: Actor, task_id: int) -> None:
    """Require that the caller may attach files to a task.

    Raises:
        NotFound, Forbidden: as `require_access()` raises them.
    """
    require_access(actor, task_id, may_update_task)


def announce(actor: Actor, size: int, quota: int) -> str:
    """Record that a file is about to be stored; returns the key for it. `size` and `quota` are in bytes.

    Raises:
        TooLarge: if the caller would exceed the quota.
    """
    with unit_of_work():
        _require_room(actor, size, quota)
        return str(StoredFile.create(key=new_key()).key)


def attach(actor: Actor, task_id: int, key: str, facts: FileFacts, quota: int) -> Representation:
    """Make a stored file an attachment of a task.

    Raises:
        NotFound, Forbidden: as `require_access()` raises them.
        TooLarge: if other uploads have used up the quota in the meantime.
        Conflict: if storing it took so long that the sweep may have removed it.
    """
    with unit_of_work():
        if read(_LOCK_UPLOADER, {"user_id": actor.user_id}).fetch_one() is None:
            raise session_ended()
        require_access(actor, task_id, may_update_task, lock=True)
        _require_room(actor, facts.size, quota)
        _require_fresh(key)
        attached = write_one(
            Attachment.insert(
                task_id=task_id,
                user_id=actor.user_id,
                file_key=key,
                filename=facts.filename,
                content_type=facts.content_type,
                size=facts.size,
                sha256=facts.sha256,
            )
        )
        events.record_task(events.TASK_ATTACHED, task_id, actor.user_id)
    return attached


def list_attachments(actor: Actor, task_id: int, skip: int, limit: int) -> Page:
    """Read a page of a task's attachments, the oldest first.

    Raises:
        NotFound, Forbidden: as `require_readable()` raises them.
    """
    require_readable(actor, task_id)
    return fetch_page(_OF_TASK, skip, limit, task_id=task_id)


def list_own_attachments(actor: Actor) -> list[dict[str, Any]]:
    """Read all attachments that the caller has uploaded, to tasks of any owner, the oldest first."""
    own: list[dict[str, Any]] = orjson.loads(fetch_listing(_OF_UPLOADER, user_id=actor.user_id).items)
    return own


def read_attachment(actor: Actor, task_id: int, attachment_id: int) -> Representation:
    """Read an attachment without its bytes.

    Raises:
        NotFound, Forbidden: as `require_readable()` raises them; NotFound also if the task has no such attachment.
    """
    require_readable(actor, task_id)
    row = read(_READ, {"attachment_id": attachment_id, "task_id": task_id}).fetch_one()
    if row is None:
        raise _not_found()
    return Representation(attachment_id, row[0])


def content_of(actor: Actor, task_id: int, attachment_id: int) -> Content:
    """Read the storage key of an attachment's bytes, and the facts about them.

    Raises:
        NotFound, Forbidden: as `read_attachment()` raises them.
    """
    with connected():
        require_readable(actor, task_id)
        found: Attachment | None = _of(task_id, attachment_id).get_or_none()
    if found is None:
        raise _not_found()
    return Content(found.file_key, FileFacts(found.filename, found.content_type, found.size, found.sha256))


def delete_attachment(actor: Actor, task_id: int, attachment_id: int) -> None:
    """Delete an attachment; the sweep removes its file.

    Raises:
        NotFound, Forbidden: as `read_attachment()` raises them; Forbidden also if the caller may not delete it.
    """
    with unit_of_work():
        found: Attachment | None = _of(task_id, attachment_id).get_or_none()
        uploader_id = None if found is None else found.user_id
        access = require_access(actor, task_id, _reader_or(uploader_id), lock=True)
        if found is None:
            raise _not_found()
        if not may_delete_attachment(actor, access, found.user_id):
            raise Forbidden(
                msg("Only who uploaded the attachment and the task's owner may delete it."), code="attachment_forbidden"
            )
        if not Attachment.delete().where(Attachment.id == attachment_id).execute():
            raise _not_found()
        events.record_task(events.TASK_DETACHED, task_id, actor.user_id)


@jobs.ATTACHMENTS_SWEEP.work
def sweep_storage(context: JobContext) -> int:
    """Remove stored files that no attachment refers to; returns how many."""
    return sweep(context.storage)


def sweep(storage: Storage) -> int:
    """Remove stored files that no attachment refers to, until the storage fails; returns how many it removed."""
    deadline = time.monotonic() + _SWEEP_SECONDS
    removed = 0
    try:
        while (keys := _unreferenced_keys()) and time.monotonic() < deadline:
            for key in keys:
                storage.delete(key)
                with unit_of_work():
                    StoredFile.delete().where(StoredFile.key == key).execute()
                removed += 1
    except Unavailable:
        log.warning("attachment_sweep_put_off", removed=removed)
    return removed


def _unreferenced_keys() -> list[str]:
    parameters = {"before": datetime.now(UTC) - _MIN_AGE_TO_REMOVE, "limit": _SWEEP_BATCH}
    return [key for (key,) in read(_UNREFERENCED, parameters).fetch_all()]


def _require_room(actor: Actor, size: int, quota: int) -> None:
    used = Attachment.select(fn.sum(Attachment.size)).where(Attachment.user_id == actor.user_id).scalar() or 0
    if used + size > quota:
        raise TooLarge(
            msg("Your attachments may have {quota} bytes in all, and {used} are in use.", quota=quota, used=used),
            code="quota_exceeded",
        )


def _require_fresh(key: str) -> None:
    oldest = datetime.now(UTC) - _MAX_AGE_TO_ATTACH
    if not StoredFile.select().where(StoredFile.key == key, StoredFile.created_at > oldest).exists():
        raise Conflict(msg("The upload took too long. Please try again."), code="upload_expired")


def _reader_or(uploader_id: int | None) -> Callable[[Actor, TaskAccess], bool]:
    return lambda actor, access: actor.user_id == uploader_id or may_read_task(actor, access)


def _of(task_id: int, attachment_id: int) -> Any:
    return Attachment.select().where(Attachment.id == attachment_id, Attachment.task_id == task_id)


def _not_found() -> NotFound:
    return NotFound(msg("There is no such attachment."), code="attachment_not_found")
