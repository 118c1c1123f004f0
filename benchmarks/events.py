"""Measure the path of an event: its latency, publication from a backlog, fan-out, idle sockets, and replay."""

import asyncio
import resource
import statistics
import time
from pathlib import Path
from typing import Final

import psutil
import uvloop

from benchmarks.event_latency import CHANGES_PER_SECOND, waits
from benchmarks.event_log import insert_events, publish_all, replace_events
from benchmarks.fan_out import fan_out
from benchmarks.figures import at_least, at_most, percentile
from benchmarks.sockets import END, open_sockets
from benchmarks.stack import Server, Stack, User
from benchmarks.suite import Chart, Options, Result, Row, progress
from core import events

_WARM_UP_SECONDS: Final = 3.0
_BACKLOG: Final = 10_000
_IDLE_SOCKETS: Final = 10_000
_REPLAYED: Final = 100_000
# What both processes need besides the sockets.
_OTHER_DESCRIPTORS: Final = 500
_LONGEST_REPLAY_SECONDS: Final = 120
_GOALS_OF_LATENCY: Final = {50: 15, 99: 50}
_GOAL_OF_PUBLICATION: Final = 5000


def run(stack: Stack, options: Options) -> Result:
    """Measure with one web process, an event log of a week, and for the latency with a worker."""
    # The server inherits this limit.
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    user = stack.add_user("listener")
    replace_events(user.actor.user_id, range(7))
    with stack.api(SOCKETS_PER_USER=str(limit)) as api:
        publish_all(stack.redis_url)
        latency = _latency(stack, api, user, options)
        backlog = _backlog(stack, user, options)
        frames = fan_out(stack, api, user, options)
        idle = _idle(api, user, min(options.scaled(_IDLE_SOCKETS), limit - _OTHER_DESCRIPTORS))
        replay = _replay(stack, api, user, options)
    return Result(
        tables={"latency": [latency], "backlog": [backlog], "fan_out": frames, "idle": [idle], "replay": [replay]},
        charts={"fan_out": _chart(frames)},
    )


def _latency(stack: Stack, api: Server, user: User, options: Options) -> Row:
    milliseconds: list[float] = []
    with stack.worker():
        uvloop.run(waits(api, user, _WARM_UP_SECONDS))
        for number in range(options.rounds):
            measured = uvloop.run(waits(api, user, options.seconds))
            progress(f"events: latency, round {number + 1} of {options.rounds}: p99 {percentile(measured, 99):.1f} ms")
            milliseconds += measured
    row: Row = {"milliseconds to the listener": f"{CHANGES_PER_SECOND} changes a second"}
    row |= {f"p{percent}": percentile(milliseconds, percent) for percent in (50, 90, 99)}
    verdicts = {f"goal of p{of}": at_most(percentile(milliseconds, of), goal) for of, goal in _GOALS_OF_LATENCY.items()}
    return row | verdicts


def _backlog(stack: Stack, user: User, options: Options) -> Row:
    rates, costs = [], []
    count = options.scaled(_BACKLOG)
    for number in range(options.rounds):
        insert_events(user.actor.user_id, count)
        started, used = time.perf_counter(), time.process_time()
        publish_all(stack.redis_url)
        rates.append(count / (time.perf_counter() - started))
        costs.append((time.process_time() - used) / count * 1e6)
        progress(f"events: backlog, round {number + 1} of {options.rounds}: {rates[-1]:,.0f} events a second")
    rate = statistics.median(rates)
    return {
        "publication": f"{count:,} waiting events",
        "events per second": rate,
        "µs of CPU time per event": statistics.median(costs),
        "goal": at_least(rate, _GOAL_OF_PUBLICATION),
    }


def _idle(api: Server, user: User, count: int) -> Row:
    """Open many sockets on the process, and read its memory."""
    progress(f"events: opening {count:,} idle sockets")
    process = psutil.Process(api.process_id)

    async def memory() -> tuple[int, int]:
        """Return the bytes before and after the sockets were opened."""
        before = process.memory_info().rss
        listeners = await open_sockets(api.port, count, "/ws", user.token)
        await asyncio.sleep(1)
        after = process.memory_info().rss
        for listener in listeners:
            listener.close()
        return before, after

    before, after = uvloop.run(memory())
    return {
        "idle sockets on one process": f"{count:,}",
        "MiB of the process before": before / 2**20,
        "MiB of the process": after / 2**20,
        "KiB per socket": (after - before) / count / 2**10,
    }


def _replay(stack: Stack, api: Server, user: User, options: Options) -> Row:
    """Read many missed events over one socket."""
    count = options.scaled(_REPLAYED)
    progress(f"events: replaying {count:,} events")
    since = events.bounds().last
    insert_events(user.actor.user_id, count - 1)
    insert_events(user.actor.user_id, 1, text=END.decode())
    publish_all(stack.redis_url)

    async def received() -> int:
        """Return the number of bytes that the listener got."""
        async with asyncio.timeout(_LONGEST_REPLAY_SECONDS):
            (listener,) = await open_sockets(api.port, 1, f"/ws?since={since}", user.token)
            await listener.end
        listener.close()
        return listener.received

    files = Path(f"/proc/{api.process_id}")
    # Linux then counts the highest memory, VmHWM, from this moment on.
    (files / "clear_refs").write_text("5", encoding="ascii")
    before = psutil.Process(api.process_id).memory_info().rss
    started = time.perf_counter()
    size = uvloop.run(received())
    seconds = time.perf_counter() - started
    highest = int((files / "status").read_text(encoding="ascii").partition("VmHWM:")[2].split()[0]) * 2**10
    return {
        "replay of missed events": f"{count:,}",
        "events per second": count / seconds,
        "MiB received": size / 2**20,
        "MiB of additional memory": (highest - before) / 2**20,
    }


def _chart(frames: list[Row]) -> Chart:
    sockets, *_ = frames[0]
    return Chart(
        f"Frames to {sockets}",
        "frames per second",
        [str(row[sockets]) for row in frames],
        {"one process": [float(row["frames per second"]) for row in frames]},
    )
