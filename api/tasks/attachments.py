"""The files of a task: added, listed, read, deleted."""

from collections.abc import Generator
from typing import Final, Self
from urllib.parse import quote

from falcon.asgi import Request, Response

from api.http.fields import PageQuery
from api.http.idempotency import Part, create
from api.http.operation import document
from api.http.preconditions import is_known
from api.http.ranges import requested_range
from api.http.responses import answer_page
from api.http.threads import Bridge
from api.http.uploads import received
from api.tasks.attachment_schemas import AttachmentForm, AttachmentList, AttachmentOut, Binary
from core import files
from core.config import Settings
from core.policy import Scope
from core.services import attachments
from core.storage import Storage

_NOT_IN_QUOTES: Final = str.maketrans({'"': "_", "\\": "_", "%": "_"})


class AttachmentCollection:
    """The attachments of one task."""

    def __init__(self, bridge: Bridge, storage: Storage, settings: Settings) -> None:
        self._bridge = bridge
        self._storage = storage
        self._max_bytes = settings.attachment_max_bytes
        self._quota = settings.attachment_quota_bytes

    @document(
        summary="Attach a file to a task",
        scope=Scope.TASKS_WRITE,
        description="One file, with a name. Its type is found in its bytes, whatever the form says.",
        multipart=AttachmentForm,
        answer=(201, AttachmentOut),
        headers=("Location",),
        errors=(404, 408, 409),
        idempotent=True,
        tag="attachments",
    )
    async def on_post(self, req: Request, resp: Response, task_id: int) -> None:
        """Receive a file, store it, and make it the task's."""
        actor, bridge = req.context.actor, self._bridge
        # A file that would be refused anyhow is not received at all.
        await bridge.run(attachments.require_upload, actor, task_id)
        async with received(bridge, req.context.form, self._max_bytes) as upload:
            facts = await bridge.run_file_io(files.inspect, upload.file, upload.filename)
            key = await bridge.run(attachments.announce, actor, facts.size, self._quota)
            await bridge.run_file_io(self._storage.put, key, upload.file)
        # Repeated, the file is stored once more; the sweep removes what was not attached.
        part = Part(0, f"{facts.sha256} {facts.filename}".encode())
        await create(bridge, req, resp, attachments.attach, actor, task_id, key, facts, self._quota, part=part)

    @document(
        summary="List a task's attachments",
        scope=Scope.TASKS_READ,
        query=PageQuery,
        answer=(200, AttachmentList),
        headers=("X-Total-Count",),
        errors=(404,),
        tag="attachments",
    )
    async def on_get(self, req: Request, resp: Response, task_id: int) -> None:
        """Answer a page."""
        query: PageQuery = req.context.query
        page = await self._bridge.run(attachments.list_attachments, req.context.actor, task_id, query.skip, query.limit)
        answer_page(resp, page, query)


class AttachmentItem:
    """One attachment, without its bytes."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    @document(
        summary="Read what is known of an attachment",
        scope=Scope.TASKS_READ,
        answer=(200, AttachmentOut),
        errors=(404,),
        tag="attachments",
    )
    async def on_get(self, req: Request, resp: Response, task_id: int, attachment_id: int) -> None:
        """Answer the attachment."""
        found = await self._bridge.run(attachments.read_attachment, req.context.actor, task_id, attachment_id)
        resp.data = found.json.encode()

    @document(
        summary="Delete an attachment", scope=Scope.TASKS_WRITE, answer=(204, None), errors=(404,), tag="attachments"
    )
    async def on_delete(self, req: Request, resp: Response, task_id: int, attachment_id: int) -> None:
        """Take the attachment from its task."""
        await self._bridge.run(attachments.delete_attachment, req.context.actor, task_id, attachment_id)
        resp.status = 204


class AttachmentContent:
    """The bytes of an attachment: something to save, never a page of this origin."""

    def __init__(self, bridge: Bridge, storage: Storage) -> None:
        self._bridge = bridge
        self._storage = storage

    @document(
        summary="Download an attachment",
        scope=Scope.TASKS_READ,
        description="With a `Range` of bytes the answer is 206 and that part; with a known `If-None-Match` it is 304.",
        answer=(200, Binary),
        media_type=files.UNKNOWN,
        headers=("Accept-Ranges", "Content-Disposition", "ETag"),
        errors=(404, 416),
        tag="attachments",
    )
    async def on_get(self, req: Request, resp: Response, task_id: int, attachment_id: int) -> None:
        """Answer all bytes, or those that are asked for."""
        content = await self._bridge.run(attachments.content_of, req.context.actor, task_id, attachment_id)
        facts, etag = content.facts, f'"{content.facts.sha256}"'
        # The bytes never change, but who may read them does.
        validators = {"ETag": etag, "Cache-Control": "private, no-cache"}
        if is_known(req, etag):
            resp.status = 304
            resp.set_headers(validators)
            return
        part = requested_range(req, facts.size, etag)
        start, end = part or (0, facts.size)
        # Before any header is set: where this fails, the answer is about the failure.
        if req.method == "GET":
            chunks = await self._bridge.run_file_io(self._storage.read, content.key, start, end)
            resp.stream = _Download(self._bridge, chunks)
        if part is not None:
            resp.status = 206
            resp.set_header("Content-Range", f"bytes {start}-{end - 1}/{facts.size}")
        resp.content_type = facts.content_type
        resp.content_length = end - start
        resp.set_headers(validators | {"Accept-Ranges": "bytes", "Content-Disposition": _disposition(facts.filename)})


class _Download:
    """Chunks of a storage, each fetched in a thread; given back by `close()`, also where nobody takes them any more."""

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
        """Let go of the file or the connection."""
        await self._bridge.run_file_io(self._chunks.close)


def _disposition(filename: str) -> str:
    """`attachment` with the name in both ways of RFC 6266: nearly so for old clients, exactly for all others."""
    plain = filename.encode("ascii", "replace").decode("ascii").translate(_NOT_IN_QUOTES).replace("?", "_")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"
