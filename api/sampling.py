"""Takes the numbers of a web process that are not counted but looked up, such as how many sockets are open."""

import asyncio
from typing import Final

from core import metrics

_SECONDS: Final = 1.0


async def sample_regularly() -> None:
    """Take the numbers every second, without end, and measure by how much the event loop is late for it.

    Another process may export the numbers, so they cannot be looked up at that moment.
    """
    loop = asyncio.get_running_loop()
    while True:
        metrics.sample()
        due = loop.time() + _SECONDS
        await asyncio.sleep(_SECONDS)
        metrics.LOOP_DELAY.observe(max(loop.time() - due, 0.0))
