"""The export of one's tasks to a file, and their import from one; both are streamed."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
from falcon.asgi import Request, Response

from api.http.bodies import CSV, JSON_LINES, JSON_LINES_ALIAS, read_chunks
from api.http.errors import say
from api.http.idempotency import Part, run_once
from api.http.languages import reader_language
from api.http.operation import document
from api.http.threads import Bridge
from api.tasks.lines import READERS, WRITERS, LineReader, Writer
from api.tasks.transfer_schemas import ExportQuery, ImportReport, TaskLines, TaskTable
from core.errors import TooLarge
from core.messages import msg
from core.policy import Actor, Scope
from core.services import transfer
from core.services.transfer import BATCH_LENGTH, START, Cursor, Line, Refusal

_REFUSALS_TOLD = 100
_MOST_LINES = 10_000


class TaskExport:
    """The tasks that the caller owns, as a file."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    @document(
        summary="Export one's tasks",
        scope=Scope.TASKS_READ,
        description="The tasks that one owns, the oldest first, as JSON lines or as CSV.",
        query=ExportQuery,
        answer=(200, TaskLines),
        media_type=JSON_LINES,
        alternatives={CSV: TaskTable},
        tag="tasks",
    )
    async def on_get(self, req: Request, resp: Response) -> None:
        """Answer the file, of which no more than a page is in memory at a time."""
        query: ExportQuery = req.context.query
        actor, writer = req.context.actor, WRITERS[query.format]
        # The first page is read before the answer begins: if there is no database, the status can still say so.
        first, end = await self._bridge.run(_write_page, actor, START, writer)
        resp.content_type = writer.media_type
        resp.set_header("Content-Disposition", f'attachment; filename="allweather-tasks.{query.format}"')
        resp.stream = self._pages(actor, writer, writer.head + first, end)

    async def _pages(self, actor: Actor, writer: Writer, page: bytes, end: Cursor | None) -> AsyncIterator[bytes]:
        yield page
        while end is not None:
            page, end = await self._bridge.run(_write_page, actor, end, writer)
            yield page


class TaskImport:
    """New tasks of the caller, from a file."""

    def __init__(self, bridge: Bridge, max_bytes: int) -> None:
        self._bridge = bridge
        self._max_bytes = max_bytes

    @document(
        summary="Import tasks",
        scope=Scope.TASKS_WRITE,
        description="Each line makes a task of the caller; one that does not is reported and skipped.",
        streamed={JSON_LINES: TaskLines, JSON_LINES_ALIAS: TaskLines, CSV: TaskTable},
        answer=(200, ImportReport),
        idempotent=True,
        tag="tasks",
    )
    async def on_post(self, req: Request, resp: Response) -> None:
        """Create tasks while the file comes in."""
        reader = READERS[str(req.content_type)]()
        language = reader_language(req)

        def describe(refusal: Refusal) -> dict[str, Any]:
            return {"line": refusal.line, "errors": say(refusal.errors, language)}

        read, refusals = 0, list[dict[str, Any]]()
        async for batch in _batches(_lines(read_chunks(req, self._max_bytes), reader)):
            if read + len(batch) > _MOST_LINES:
                raise TooLarge(msg("A file may hold at most {limit} tasks.", limit=_MOST_LINES), code="body_too_large")
            part = Part(read, b"\n".join(line.text for line in batch))
            step = (transfer.import_batch, req.context.actor, batch, reader.read, describe)
            refusals += orjson.loads((await run_once(self._bridge, req, resp, *step, part=part)).json)
            read += len(batch)
        resp.set_header("Content-Language", language)
        resp.data = orjson.dumps(
            {"created": read - len(refusals), "failed": len(refusals), "errors": refusals[:_REFUSALS_TOLD]}
        )


def _write_page(actor: Actor, after: Cursor, writer: Writer) -> tuple[bytes, Cursor | None]:
    page = transfer.read_own_page(actor, after)
    return writer.write(page.tasks), page.end


async def _lines(chunks: AsyncIterator[bytes], reader: LineReader) -> AsyncIterator[Line]:
    async for chunk in chunks:
        # In a thread, since a file may be made of nothing but line breaks, which take their time.
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
