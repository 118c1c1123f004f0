"""The attachments of a task: upload, list, download and delete."""

from collections.abc import Generator
from typing import Annotated, Final, Self
from urllib.parse import quote

import structlog
from falcon.asgi import Request, Response
from peewee import InterfaceError, OperationalError

from api.http.bodies import MULTIPART, RawBody, StreamedForm, too_large
from api.http.fields import ListOf, PageQuery
from api.http.idempotency import IdempotentRequest, Repeatable
from api.http.operation import operation
from api.http.preconditions import is_known
from api.http.ranges import requested_range
from api.http.resource import Resource, Services
from api.http.routing import both
from api.http.threads import Bridge
from api.http.uploads import Received, SizeLimit, UploadPlaces, received
from api.tasks.attachment_schemas import AttachmentForm, AttachmentOut, Binary
from core import files, metrics
from core.errors import Unavailable
from core.policy import Actor, Scope
from core.representations import Page, Representation
from core.services import attachments
from core.storage import Storage

log = structlog.get_logger()

_NOT_IN_QUOTES: Final = str.maketrans({'"': "_", "\\": "_", "%": "_"})

Upload = Annotated[StreamedForm, RawBody({MULTIPART: AttachmentForm}, StreamedForm.of)]
"""A multipart form with one file. The responder reads it part by part."""


class AttachmentCollection(Resource):
    """The attachments of one task."""

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        settings = self.settings
        self._places = UploadPlaces(settings.attachment_uploads_per_user, settings.attachment_uploads)

    @operation(201, AttachmentOut, tag="attachments", scope=Scope.TASKS_WRITE, headers=("Location",), errors=(404, 408))
    async def on_post(self, actor: Actor, task_id: int, body: Upload, request: Repeatable) -> Representation:
        """Attach a file to a task.

        The form has one file, with a name. The content type is determined from the bytes, not from the form.
        """
        # These are checked first, so that a file that will be refused is not received.
        await self.bridge.run(attachments.require_upload, actor, task_id)
        limit = SizeLimit(self.settings.attachment_max_bytes, too_large(self.settings.attachment_max_bytes))
        # A repeated request needs no room: its response has been stored together with its file.
        if not await request.step(0, b"").is_known(self.bridge):
            quota = self.settings.attachment_quota_bytes
            room = await self.bridge.run(attachments.require_room, actor, body.least_file_bytes, quota)
            if room.free < limit.max_bytes:
                limit = SizeLimit(room.free, room.exceeded())
        with self._places.taken_by(actor.user_id):
            async with received(self.bridge, body.form, limit) as upload:
                return await self._store_once(actor, task_id, upload, request)

    async def _store_once(
        self, actor: Actor, task_id: int, upload: Received, request: IdempotentRequest
    ) -> Representation:
        """Store a received file and attach it, or return the stored result if this was done before."""
        facts = await self.bridge.run_file_io(files.inspect, upload.file, upload.filename)
        step = request.step(0, f"{facts.sha256} {facts.filename}".encode())
        known = await step.replay(self.bridge)
        if known is not None:
            return known
        key = await self.bridge.run(attachments.announce, actor, facts.size, self.settings.attachment_quota_bytes)
        # If this fails, the file is left to the sweep: after a time-out, it may still be stored later.
        await self.bridge.run_file_io(self.storage.put, key, upload.file)
        metrics.UPLOADED_BYTES.add(facts.size)
        try:
            return await step.run_once(self.bridge, attachments.attach, actor, task_id, key, facts)
        finally:
            # The file is not attached if it was refused, or if the same request was carried out meanwhile.
            await _remove_unattached(self.bridge, self.storage, key)

    @operation(
        200,
        ListOf[AttachmentOut],
        tag="attachments",
        scope=Scope.TASKS_READ,
        headers=("X-Total-Count",),
        errors=(404,),
    )
    async def on_get(self, actor: Actor, task_id: int, query: PageQuery) -> Page:
        """List a task's attachments."""
        return await self.bridge.run(attachments.list_attachments, actor, task_id, query.skip, query.limit)


class AttachmentItem(Resource):
    """The data of one attachment, without its bytes."""

    @operation(200, AttachmentOut, tag="attachments", scope=Scope.TASKS_READ, errors=(404,))
    async def on_get(self, actor: Actor, task_id: int, attachment_id: int) -> Representation:
        """Read an attachment without its bytes."""
        return await self.bridge.run(attachments.read_attachment, actor, task_id, attachment_id)

    @operation(204, tag="attachments", scope=Scope.TASKS_WRITE, errors=(404,))
    async def on_delete(self, actor: Actor, task_id: int, attachment_id: int) -> None:
        """Delete an attachment."""
        key = await self.bridge.run(attachments.delete_attachment, actor, task_id, attachment_id)
        await _remove_unattached(self.bridge, self.storage, key)


class AttachmentContent(Resource):
    """The bytes of an attachment. Browsers must save them and never show them as a page of this origin."""

    @operation(
        200,
        Binary,
        tag="attachments",
        scope=Scope.TASKS_READ,
        media_type=files.UNKNOWN,
        headers=("Accept-Ranges", "Content-Disposition", "ETag"),
        errors=(404, 416),
    )
    async def on_get(self, req: Request, resp: Response, actor: Actor, task_id: int, attachment_id: int) -> None:
        """Download an attachment.

        With a `Range` of bytes the response is 206 with that part. With an `If-None-Match` that matches it is 304.
        """
        content = await self.bridge.run(attachments.content_of, actor, task_id, attachment_id)
        facts, etag = content.facts, f'"{content.facts.sha256}"'
        # Clients must revalidate: the bytes never change, but the permission to read them does.
        validators = {"ETag": etag, "Cache-Control": "private, no-cache"}
        if is_known(req, etag):
            resp.status = 304
            resp.set_headers(validators)
            return
        part = requested_range(req, facts.size, etag)
        start, end = part or (0, facts.size)
        # This comes before any header is set, because the headers would be wrong for an error response.
        if req.method == "GET":
            chunks = await self.bridge.run_file_io(self.storage.read, content.key, start, end)
            resp.stream = _Download(self.bridge, chunks)
        if part is not None:
            resp.status = 206
            resp.set_header("Content-Range", f"bytes {start}-{end - 1}/{facts.size}")
        resp.content_type = facts.content_type
        resp.content_length = end - start
        resp.set_headers(validators | {"Accept-Ranges": "bytes", "Content-Disposition": _disposition(facts.filename)})


class _Download:
    """Reads chunks from the storage in threads. Falcon calls `close()` at the end, also if the client disconnects."""

    def __init__(self, bridge: Bridge, chunks: Generator[bytes, None, None]) -> None:
        self._bridge = bridge
        self._chunks = chunks

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        chunk: bytes | None = await self._bridge.run_file_io(next, self._chunks, None)
        if chunk is None:
            raise StopAsyncIteration
        return chunk

    async def close(self) -> None:
        """Close the file, or the connection to the storage."""
        await self._bridge.run_file_io(self._chunks.close)


async def _remove_unattached(bridge: Bridge, storage: Storage, key: str) -> None:
    """Remove a stored file at once, unless an attachment refers to it. If this fails, the sweep removes the file.

    A failure is only logged, because the request itself has succeeded, or has failed for another reason.
    """
    try:
        if await bridge.run(attachments.claim_removal, key):
            await bridge.run_file_io(storage.delete, key)
            await bridge.run(attachments.forget, key)
    except (Unavailable, OperationalError, InterfaceError) as failure:
        log.warning("attachment_removal_put_off", reason=type(failure).__name__)


def _disposition(filename: str) -> str:
    """Return an `attachment` header with the name in both forms of RFC 6266: ASCII for old clients, and the exact name.

    The result is the value of `Content-Disposition`.
    """
    plain = filename.encode("ascii", "replace").decode("ascii").translate(_NOT_IN_QUOTES).replace("?", "_")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"


_ALL: Final = "/tasks/{task_id:id}/attachments"
_ONE: Final = _ALL + "/{attachment_id:id}"

ROUTES: Final = [
    *both(_ALL, AttachmentCollection),
    *both(_ONE, AttachmentItem),
    *both(f"{_ONE}/content", AttachmentContent),
]
