"""Bounds what one WebSocket may send: a budget of bytes and one of frames, both spent before anything is parsed."""

from typing import Final

_BURST_BYTES: Final = 128 * 1024
_BYTES_PER_SECOND: Final = 16 * 1024
_BURST_FRAMES: Final = 512
_FRAMES_PER_SECOND: Final = 64

# The layout of a frame's header (RFC 6455, section 5.2): two bytes, which hold a short length; more bytes for a longer
# length; and the mask, if there is one.
_FIXED_BYTES: Final = 2
_MASK_BIT: Final = 0x80
_LENGTH_BITS: Final = 0x7F
_LENGTH_BYTES: Final = {126: 2, 127: 8}
_MASK_BYTES: Final = 4


class Budget:
    """An amount that refills at a constant rate up to a maximum."""

    __slots__ = ("_amount", "_maximum", "_per_second", "_updated")

    def __init__(self, maximum: float, per_second: float, now: float) -> None:
        self._maximum = maximum
        self._per_second = per_second
        self._amount = maximum
        self._updated = now

    def spend(self, amount: float, now: float) -> bool:
        """Take an amount, and return whether there was enough. `now` is in seconds of a monotonic clock."""
        refilled = self._amount + (now - self._updated) * self._per_second
        self._amount = min(self._maximum, refilled) - amount
        self._updated = now
        return self._amount >= 0


class FrameCounter:
    """Counts the frames in a stream of bytes without reading their content. A piece of the stream may end anywhere."""

    __slots__ = ("_header", "_skip")

    def __init__(self) -> None:
        self._header = b""
        self._skip = 0

    def count(self, data: bytes) -> int:
        """Return how many frames have their length in the next piece of the stream."""
        frames = 0
        data, self._header = self._header + data, b""
        position, self._skip = self._skip, 0
        while position < len(data):
            end = _end_of_frame(data, position)
            if end is None:
                self._header = data[position:]
                return frames
            frames += 1
            position = end
        self._skip = position - len(data)
        return frames


def _end_of_frame(data: bytes, start: int) -> int | None:
    """Return the position after the frame that begins at `start`, or None if its length has not arrived yet."""
    header = start + _FIXED_BYTES
    if len(data) < header:
        return None
    length = data[start + 1] & _LENGTH_BITS
    extended = _LENGTH_BYTES.get(length, 0)
    if len(data) < header + extended:
        return None
    if extended:
        length = int.from_bytes(data[header : header + extended], "big")
    mask = _MASK_BYTES if data[start + 1] & _MASK_BIT else 0
    return header + extended + mask + length


class SocketAllowance:
    """What one WebSocket may send: some bytes and frames at once, and then so many in a second."""

    __slots__ = ("_bytes", "_counter", "_frames")

    def __init__(self, now: float) -> None:
        self._bytes = Budget(_BURST_BYTES, _BYTES_PER_SECOND, now)
        self._frames = Budget(_BURST_FRAMES, _FRAMES_PER_SECOND, now)
        self._counter = FrameCounter()

    def permits(self, data: bytes, now: float) -> bool:
        """Count the next piece of what the client sends, and return whether the client may send it."""
        return self._bytes.spend(len(data), now) and self._frames.spend(self._counter.count(data), now)
