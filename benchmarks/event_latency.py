"""How long it takes from the insertion of an event to its listener, through a web process and a worker."""

import asyncio
import json
import time
from datetime import datetime
from typing import Final

from websockets.asyncio.client import connect

from benchmarks.compare import CREATE
from benchmarks.load import Request
from benchmarks.stack import Server, User

CHANGES_PER_SECOND: Final = 100
_WRITERS: Final = 10
_SLACK_SECONDS: Final = 30


async def waits(server: Server, user: User, seconds: float) -> list[float]:
    """Return the milliseconds from the insertion of each event until it was received.

    The insertion is some milliseconds before the commit, so these times are a little longer than from the commit on.

    Raises:
        TimeoutError: if an event does not come.
    """
    request = Request("POST", "/api/v1/tasks", user.token, CREATE).encode("bench")
    pause = _WRITERS / CHANGES_PER_SECOND
    each = max(int(seconds / pause), 1)
    headers = {"Authorization": f"Bearer {user.token}"}
    measured = []
    async with (
        asyncio.timeout(seconds + _SLACK_SECONDS),
        connect(f"ws://127.0.0.1:{server.port}/ws", additional_headers=headers, proxy=None) as listener,
        asyncio.TaskGroup() as writers,
    ):
        await listener.recv()
        for number in range(_WRITERS):
            writers.create_task(_write(server.port, request, each, pause, number * pause / _WRITERS))
        for _ in range(each * _WRITERS):
            frame = json.loads(await listener.recv())
            measured.append((time.time() - datetime.fromisoformat(frame["at"]).timestamp()) * 1000)
    return measured


async def _write(port: int, request: bytes, times: int, pause: float, delay: float) -> None:
    """Send a request at a constant rate over one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    loop = asyncio.get_running_loop()
    start = loop.time() + delay
    for number in range(times):
        await asyncio.sleep(max(0.0, start + number * pause - loop.time()))
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 201 " not in head.split(b"\r\n", 1)[0]:
            raise RuntimeError(head.decode())
        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split(b"\r\n", 1)[0]))
    writer.close()
