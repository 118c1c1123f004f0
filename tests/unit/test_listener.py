"""An event is written to a socket at once only if nothing before it waits, so frames keep their order."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

from api.realtime.hub import CloseCode, Listener
from core.policy import Actor, Role


class Peer:
    """The other end of a socket: what was written to it, and whether it reads."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.reads = True

    def write(self, frame: bytes) -> bool:
        if self.reads:
            self.received.append(frame)
        return self.reads


def in_loop(scenario: Callable[[Peer, Listener], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run a test in an event loop, with a listener and its peer."""

    @wraps(scenario)
    def test() -> None:
        async def run() -> None:
            peer = Peer()
            await scenario(peer, Listener(Actor(1, Role.USER, 1), 3, peer.write))

        asyncio.run(run())

    del test.__wrapped__  # type: ignore[attr-defined]  # pytest would look for fixtures with the names of its parameters.
    return test


def offer_event(listener: Listener, number: int) -> None:
    listener.offer_event(str(number), str(number).encode())


async def waiting_sender(listener: Listener) -> "asyncio.Task[str]":
    """Start the wait for the next frame of the queue, as the task does that sends."""
    task = asyncio.create_task(listener.next_frame())
    await asyncio.sleep(0)
    return task


@in_loop
async def test_an_event_is_written_without_waking_the_task_that_sends(peer: Peer, listener: Listener) -> None:
    sender = await waiting_sender(listener)
    offer_event(listener, 1)
    offer_event(listener, 2)

    assert peer.received == [b"1", b"2"]
    assert listener.frames_sent == 2
    assert not sender.done()
    sender.cancel()


@in_loop
async def test_an_event_waits_while_an_earlier_frame_waits(peer: Peer, listener: Listener) -> None:
    sender = await waiting_sender(listener)
    listener.offer("pong")
    offer_event(listener, 1)

    assert await sender == "pong"
    assert await listener.next_frame() == "1"
    assert peer.received == []


@in_loop
async def test_an_event_waits_while_an_earlier_frame_is_being_sent(peer: Peer, listener: Listener) -> None:
    listener.offer("pong")
    assert await listener.next_frame() == "pong"
    offer_event(listener, 1)

    assert peer.received == []
    assert await listener.next_frame() == "1"


@in_loop
async def test_an_event_waits_before_the_first_frames_are_sent(peer: Peer, listener: Listener) -> None:
    offer_event(listener, 1)

    assert peer.received == []
    assert await listener.next_frame() == "1"


@in_loop
async def test_events_for_a_peer_that_does_not_read_wait_and_then_end_the_socket(
    peer: Peer, listener: Listener
) -> None:
    sender = await waiting_sender(listener)
    peer.reads = False
    for number in range(3):
        offer_event(listener, number)
    assert not listener.ended.done()
    offer_event(listener, 3)

    assert listener.ended.result() is CloseCode.TOO_SLOW
    assert await sender == "0"


@in_loop
async def test_nothing_is_written_after_the_end_was_requested(peer: Peer, listener: Listener) -> None:
    sender = await waiting_sender(listener)
    listener.end(CloseCode.SESSION_ENDED)
    offer_event(listener, 1)

    assert peer.received == []
    sender.cancel()
