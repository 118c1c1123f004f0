"""The export of the caller's own tasks to a file, and the import of tasks from a file. Both are streamed."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

import orjson
from falcon.asgi import Response

from api.http.bodies import CSV, JSON_LINES, JSON_LINES_ALIAS, RawBody, StreamedBody
from api.http.errors import describe_fields
from api.http.idempotency import Repeatable
from api.http.languages import ReaderLanguage
from api.http.operation import operation
from api.http.resource import Resource
from api.http.routing import versioned
from api.tasks.lines import READERS, WRITERS, LineReader, Writer
from api.tasks.transfer_schemas import ExportQuery, ImportReport, TaskLines, TaskTable
from core.errors import TooLarge
from core.messages import msg
from core.policy import Actor, Scope
from core.services import transfer
from core.services.transfer import BATCH_LENGTH, Cursor, Line, Refusal

_REFUSALS_REPORTED = 100
_MOST_LINES = 10_000

TaskFile = Annotated[
    StreamedBody,
    RawBody({JSON_LINES: TaskLines, JSON_LINES_ALIAS: TaskLines, CSV: TaskTable}, StreamedBody.of),
]
"""A file of tasks that is read while it arrives."""


class TaskExport(Resource):
    """The export of the tasks that the caller owns."""

    @operation(
        200,
        TaskLines,
        tag="tasks",
        scope=Scope.TASKS_READ,
        weight=5,
        places=2,
        media_type=JSON_LINES,
        alternatives={CSV: TaskTable},
    )
    async def on_get(self, resp: Response, actor: Actor, query: ExportQuery) -> None:
        """Export one's tasks.

        All tasks that the caller owns, the oldest first, as JSON lines or as CSV.
        """
        writer = WRITERS[query.format]
        # The first page is read before the response begins, because later an error cannot change the status any more.
        first, end = await self.bridge.run(_write_first_page, actor, writer)
        resp.content_type = writer.media_type
        resp.set_header("Content-Disposition", f'attachment; filename="allweather-tasks.{query.format}"')
        resp.stream = self._pages(actor, writer, writer.head + first, end)

    async def _pages(self, actor: Actor, writer: Writer, page: bytes, end: Cursor | None) -> AsyncIterator[bytes]:
        yield page
        while end is not None:
            page, end = await self.bridge.run(_write_page, actor, end, writer)
            yield page


class TaskImport(Resource):
    """The import of new tasks for the caller."""

    @operation(200, ImportReport, tag="tasks", scope=Scope.TASKS_WRITE, weight=5, places=2)
    async def on_post(
        self, resp: Response, actor: Actor, body: TaskFile, request: Repeatable, language: ReaderLanguage
    ) -> dict[str, Any]:
        """Import tasks.

        Each line becomes a task of the caller. A line that is not valid is skipped and reported.
        """
        reader, quota = READERS[body.media_type](), self.settings.tasks_per_user

        def describe(refusal: Refusal) -> dict[str, Any]:
            return {"line": refusal.line, "errors": describe_fields(refusal.errors, language)}

        read, refusals = 0, list[dict[str, Any]]()
        try:
            async for batch in _batches(_lines(body.chunks(self.settings.import_max_bytes), reader)):
                if read + len(batch) > _MOST_LINES:
                    raise TooLarge(
                        msg("A file may hold at most {limit} tasks.", limit=_MOST_LINES), code="body_too_large"
                    )
                step = request.step(read, b"\n".join(line.text for line in batch))
                refused = await step.run_once(
                    self.bridge, transfer.import_batch, actor, batch, quota, reader.read, describe
                )
                refusals += orjson.loads(refused.json)
                read += len(batch)
        finally:
            transfer.log_import(actor, created=read - len(refusals), failed=len(refusals))
        resp.set_header("Content-Language", language)
        return {"created": read - len(refusals), "failed": len(refusals), "errors": refusals[:_REFUSALS_REPORTED]}


def _write_first_page(actor: Actor, writer: Writer) -> tuple[bytes, Cursor | None]:
    page = transfer.begin_export(actor)
    return writer.write(page.tasks), page.end


def _write_page(actor: Actor, after: Cursor, writer: Writer) -> tuple[bytes, Cursor | None]:
    page = transfer.read_own_page(actor, after)
    return writer.write(page.tasks), page.end


async def _lines(chunks: AsyncIterator[bytes], reader: LineReader) -> AsyncIterator[Line]:
    async for chunk in chunks:
        # This runs in a thread, because a chunk with very many line breaks would block the event loop.
        for line in await asyncio.to_thread(list, reader.feed(chunk)):
            yield line
    for line in reader.end():
        yield line


async def _batches(lines: AsyncIterator[Line]) -> AsyncIterator[list[Line]]:
    batch: list[Line] = []
    async for line in lines:
        batch.append(line)
        if len(batch) == BATCH_LENGTH:
            yield batch
            batch = []
    if batch:
        yield batch


ROUTES: Final = [
    *versioned("/tasks/export", TaskExport),
    *versioned("/tasks/import", TaskImport),
]
