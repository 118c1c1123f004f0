"""The files of tasks: adding, reading and deleting them, the quota of a user, and removing files without attachment.

A file gets a row in the database before it is put into the storage, and is attached to a task only after that. So after
a crash there is at most a stored file that no attachment refers to. Deleting a task or an account has the same effect.
The sweep removes these files.

The quota counts the rows of stored files, not the attachments, and a row is deleted only after its file. So it bounds
what a user really occupies in the storage.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog

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
    fetch_page,
    page_statement,
    write_one,
)
from core.services.sessions import session_ended
from core.services.task_access import require_access, require_readable
from core.storage import Storage, new_key

log = structlog.get_logger()

# A file can be attached until this long before it may be removed, so the sweep never removes a file that can still be
# attached. The schema lets a new file be removed after an hour, which leaves an upload half an hour.
_ATTACHED_BEFORE_REMOVABLE: Final = timedelta(minutes=30)

_SWEEP_BATCH: Final = 50
# Much shorter than the time limit of a job.
_SWEEP_SECONDS: Final = 20.0

_OF_TASK = page_statement(Attachment, where="task_id = %(task_id)s", order="id")


_READ = f"SELECT {Attachment.json()}::text FROM attachments WHERE id = %(attachment_id)s AND task_id = %(task_id)s"

# With this lock uploads of one user check the quota one after the other. Like the deletion of an account, an upload
# locks the account before the stored file, so the two cannot deadlock. It is the weakest lock that conflicts
# with itself.
_LOCK_UPLOADER = "SELECT id FROM users WHERE id = %(user_id)s FOR NO KEY UPDATE"

_REMOVABLE = "SELECT key FROM stored_files WHERE removable_at <= %(now)s ORDER BY removable_at LIMIT %(limit)s"

_ANY_REMOVABLE = "SELECT EXISTS (SELECT FROM stored_files WHERE removable_at <= now())"

# The lock lets a removal of the file that begins meanwhile wait, and then see that the file is attached.
_LOCK_ATTACHABLE = "SELECT key FROM stored_files WHERE key = %(key)s AND removable_at > %(from)s FOR UPDATE"

_USED = "SELECT coalesce(sum(size), 0)::bigint FROM stored_files WHERE user_id = %(user_id)s"


@dataclass(frozen=True, slots=True)
class Room:
    """How many bytes of a user's quota are in use; both numbers are in bytes."""

    used: int
    quota: int

    @property
    def free(self) -> int:
        """How many bytes the user may still store."""
        return max(0, self.quota - self.used)

    def exceeded(self) -> TooLarge:
        """Return the error for a file that is longer than `free`."""
        return TooLarge(
            msg(
                "Your attachments may have {quota} bytes in all, and {used} are in use.",
                quota=self.quota,
                used=self.used,
            ),
            code="quota_exceeded",
        )


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


def require_room(actor: Actor, size: int, quota: int) -> Room:
    """Require that the caller may store a file of at least `size` bytes; `quota` is in bytes, too.

    Returns how much room there is. Nothing is reserved. This refuses an upload before it is received, and `announce()`
    decides.

    Raises:
        TooLarge: if the caller would exceed the quota, or has used it up.
    """
    # A file whose size is not known yet has at least one byte. An empty file is refused, too, where nothing is left.
    return _require_room(actor, max(size, 1), quota)


def announce(actor: Actor, size: int, quota: int) -> str:
    """Record that a file is about to be stored; returns the key for it. `size` and `quota` are in bytes.

    From now on the file counts against the quota, until it is gone from the storage.

    Raises:
        TooLarge: if the caller would exceed the quota.
        Unauthenticated: if the account was deleted meanwhile.
    """
    with unit_of_work():
        _lock_uploader(actor)
        _require_room(actor, size, quota)
        return str(StoredFile.create(key=new_key(), user_id=actor.user_id, size=size).key)


def attach(actor: Actor, task_id: int, key: str, facts: FileFacts) -> Representation:
    """Make a stored file an attachment of a task.

    Raises:
        NotFound, Forbidden: as `require_access()` raises them.
        Conflict: if storing it took so long that the sweep may have removed it.
        Unauthenticated: if the account was deleted meanwhile.
    """
    with unit_of_work():
        _lock_uploader(actor)
        require_access(actor, task_id, may_update_task, lock=True)
        _lock_attachable(key)
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


def delete_attachment(actor: Actor, task_id: int, attachment_id: int) -> str:
    """Delete an attachment; returns the key of its file, which is still in the storage.

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
        return str(found.file_key)


def claim_removal(key: str) -> bool:
    """Make sure that a file cannot be attached any more; returns false if an attachment refers to it.

    After that its bytes can be removed from the storage, and then its row by `forget()`. If this is interrupted, the
    sweep continues.
    """
    with unit_of_work():
        claimed = (
            StoredFile.update(removable_at=datetime.now(UTC))
            .where(StoredFile.key == key, StoredFile.removable_at.is_null(False))
            .execute()
        )
    return bool(claimed)


def forget(key: str) -> None:
    """Delete the row of a file that is gone from the storage, so that it no longer counts against the quota."""
    with unit_of_work():
        StoredFile.delete().where(StoredFile.key == key).execute()


@jobs.ATTACHMENTS_SWEEP.work
def sweep_storage(context: JobContext) -> int:
    """Remove stored files that no attachment refers to; returns how many."""
    return sweep(context.storage)


@jobs.ATTACHMENTS_SWEEP.when
def is_removable(_context: JobContext) -> bool:
    """Whether any stored file may be removed."""
    return bool(read(_ANY_REMOVABLE).fetch_value())


def sweep(storage: Storage) -> int:
    """Remove stored files that no attachment refers to, until the storage fails; returns how many it removed."""
    deadline = time.monotonic() + _SWEEP_SECONDS
    removed = 0
    try:
        while (keys := _removable_keys()) and time.monotonic() < deadline:
            for key in keys:
                storage.delete(key)
                forget(key)
                removed += 1
    except Unavailable:
        log.warning("attachment_sweep_put_off", removed=removed)
    return removed


def _removable_keys() -> list[str]:
    parameters = {"now": datetime.now(UTC), "limit": _SWEEP_BATCH}
    return [key for (key,) in read(_REMOVABLE, parameters).fetch_all()]


def _lock_uploader(actor: Actor) -> None:
    if read(_LOCK_UPLOADER, {"user_id": actor.user_id}).fetch_one() is None:
        raise session_ended()


def _require_room(actor: Actor, size: int, quota: int) -> Room:
    room = Room(read(_USED, {"user_id": actor.user_id}).fetch_value(), quota)
    if size > room.free:
        raise room.exceeded()
    return room


def _lock_attachable(key: str) -> None:
    parameters = {"key": key, "from": datetime.now(UTC) + _ATTACHED_BEFORE_REMOVABLE}
    if read(_LOCK_ATTACHABLE, parameters).fetch_one() is None:
        raise Conflict(msg("The upload took too long. Please try again."), code="upload_expired")


def _reader_or(uploader_id: int | None) -> Callable[[Actor, TaskAccess], bool]:
    return lambda actor, access: actor.user_id == uploader_id or may_read_task(actor, access)


def _of(task_id: int, attachment_id: int) -> Any:
    return Attachment.select().where(Attachment.id == attachment_id, Attachment.task_id == task_id)


def _not_found() -> NotFound:
    return NotFound(msg("There is no such attachment."), code="attachment_not_found")
