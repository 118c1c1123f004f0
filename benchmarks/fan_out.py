"""How fast one process sends the same frames to many sockets, ours and that of a bare `websockets` server."""

import asyncio
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import uvloop
from websockets.sync.client import connect

from benchmarks.event_log import TEXT, insert_events, publish_all
from benchmarks.figures import at_least
from benchmarks.sockets import END, open_sockets
from benchmarks.stack import Server, Stack, User, free_port, server
from benchmarks.suite import Options, Row, progress

OURS: Final = "Allweather"
PEER: Final = "bare websockets"
_SOCKETS: Final = 1000
_FRAMES: Final = 100
_GOAL: Final = 0.5
_LONGEST_SECONDS: Final = 120
# So long are the parts of our frames that are not the text.
_PADDING: Final = " " * 130


@dataclass(frozen=True)
class Speed:
    """The frames that a server has sent per second to all sockets together, and its CPU time for each, in µs."""

    frames: float
    cost: float


def fan_out(stack: Stack, api: Server, user: User, options: Options) -> list[Row]:
    """Return the table of both servers, which are measured in turn."""
    sockets = options.scaled(_SOCKETS)
    speeds: dict[str, list[Speed]] = {OURS: [], PEER: []}
    for number in range(options.rounds):
        speeds[OURS].append(uvloop.run(_speed(api, sockets, "/ws", user.token, lambda: _publish_frames(stack, user))))
        port = free_port()
        with server([sys.executable, "-m", "benchmarks.broadcast_peer", str(port)], port, {}) as peer:
            speeds[PEER].append(uvloop.run(_speed(peer, sockets, "/", "", partial(_ask_peer, port))))
        frames = ", ".join(f"{name} {measured[-1].frames:,.0f}" for name, measured in speeds.items())
        progress(f"events: fan-out, round {number + 1} of {options.rounds}: {frames} frames a second")
    share = statistics.median(own.frames / peer.frames for own, peer in zip(*speeds.values(), strict=True))
    return [
        {
            f"{sockets:,} sockets": name,
            "frames per second": statistics.median(speed.frames for speed in measured),
            "µs of CPU time per frame": statistics.median(speed.cost for speed in measured),
            "share of the bare server": share if name == OURS else "",
            "goal": at_least(share, _GOAL) if name == OURS else "",
        }
        for name, measured in speeds.items()
    ]


async def _speed(measured: Server, sockets: int, path: str, token: str, start: Callable[[], object]) -> Speed:
    """Measure a server that `start`, which runs in a thread, makes send its frames to all sockets."""
    listeners = await open_sockets(measured.port, sockets, path, token)
    await asyncio.sleep(1)
    began, used = time.perf_counter(), measured.cpu_seconds()
    async with asyncio.timeout(_LONGEST_SECONDS):
        await asyncio.gather(asyncio.to_thread(start), *(listener.end for listener in listeners))
    taken, used = time.perf_counter() - began, measured.cpu_seconds() - used
    for listener in listeners:
        listener.close()
    frames = sockets * _FRAMES
    return Speed(frames / taken, used / frames * 1e6)


def _publish_frames(stack: Stack, user: User) -> None:
    insert_events(user.actor.user_id, _FRAMES - 1)
    insert_events(user.actor.user_id, 1, text=END.decode())
    publish_all(stack.redis_url)


def _ask_peer(port: int) -> None:
    """Let the bare server broadcast frames that are as long as those of our events."""
    with connect(f"ws://127.0.0.1:{port}", proxy=None, close_timeout=0) as peer:
        peer.send(f"{_FRAMES} {TEXT}{_PADDING}")
        while END.decode() not in str(peer.recv()):
            pass
