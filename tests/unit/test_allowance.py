"""What one WebSocket may send: budgets that refill, and frames counted before they are parsed."""

import pytest
from websockets.frames import Frame, Opcode

from api.realtime.allowance import Budget, FrameCounter, SocketAllowance

FRAMES = [
    Frame(Opcode.TEXT, b"x" * size).serialize(mask=mask)
    for mask in (True, False)
    for size in (0, 1, 125, 126, 65_535, 65_536)
]


def test_a_budget_is_spent_and_refills_up_to_its_maximum() -> None:
    budget = Budget(10, 2, now=0)

    assert budget.spend(10, now=0)
    assert budget.spend(4, now=2)
    assert not budget.spend(5, now=4)
    assert budget.spend(10, now=1000)
    assert not budget.spend(1, now=1000)


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 1000, 1_000_000])
def test_frames_are_counted_wherever_the_stream_is_cut(piece: int) -> None:
    stream = b"".join(FRAMES) * 2
    counter = FrameCounter()

    counts = [counter.count(stream[start : start + piece]) for start in range(0, len(stream), piece)]

    assert sum(counts) == 2 * len(FRAMES)


def test_a_frame_counts_when_its_length_is_known() -> None:
    counter = FrameCounter()
    length, mask = bytes([0, 0, 0, 0, 0, 0, 0, 9]), bytes(4)

    assert counter.count(b"\x81\xff" + length[:7]) == 0
    assert counter.count(length[7:]) == 1
    assert counter.count(mask + b"contents") == 0
    assert counter.count(b"!\x81\x80") == 1


def test_many_small_frames_are_over_the_allowance_before_their_bytes_are() -> None:
    frame = Frame(Opcode.PING, b"").serialize(mask=True)
    allowance = SocketAllowance(0)

    assert allowance.permits(frame * 512, 0)
    assert not allowance.permits(frame, 0)
    assert allowance.permits(frame, 1)


def test_a_large_frame_is_over_the_allowance_of_bytes() -> None:
    large = Frame(Opcode.BINARY, bytes(128 * 1024)).serialize(mask=True)

    assert not SocketAllowance(0).permits(large, 0)
    assert SocketAllowance(0).permits(large[: 128 * 1024], 0)
