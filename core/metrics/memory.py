"""Numbers in memory that a process shares with the process that has forked it.

The process that counts needs no system call and no lock to count, so counting costs less than a microsecond. The other
process reads the numbers whenever it wants to, also while the first one is busy or after it was killed. The process
that replaces a killed one continues its numbers, so a sum over all processes never becomes smaller.

Nothing is stored on disk. The memory ends with the last process that has it.
"""

import mmap
import threading
from collections.abc import Iterator
from math import ceil
from typing import Final, TypeAlias

# Pages that were never written need no memory. This is room for more than 4,000 histograms.
_BYTES: Final = 1024 * 1024
_NUMBER_BYTES: Final = 8

Numbers: TypeAlias = "memoryview[float]"


class Memory:
    """The numbers of one process, some of them under each key.

    The first number is the end of the used part. Behind it there is for each key: the length of the key in bytes, how
    many numbers it has, the key, padded to whole numbers, and its numbers.
    """

    def __init__(self, size: int = _BYTES) -> None:
        self._bytes = memoryview(mmap.mmap(-1, size))
        self._all: Numbers = self._bytes.cast("d")
        self._all[0] = 1
        self._found: dict[str, Numbers] = {}
        self._lock = threading.Lock()

    def place(self, key: str, count: int) -> Numbers:
        """Return the `count` numbers of a key, which are zero if the key is new.

        If there is no room for a new key, its numbers are in memory that nobody else reads.
        """
        with self._lock:
            if not self._found:
                # An earlier process may have left numbers, which this one continues.
                self._found = dict(self.items())
            if key not in self._found:
                self._found[key] = self._added(key, count)
            return self._found[key]

    def items(self) -> Iterator[tuple[str, Numbers]]:
        """Return the keys and their numbers, also while another process adds some."""
        position, end = 1, int(self._all[0])
        while position < end:
            length, count = int(self._all[position]), int(self._all[position + 1])
            begin = (position + 2) * _NUMBER_BYTES
            position += 2 + ceil(length / _NUMBER_BYTES)
            yield bytes(self._bytes[begin : begin + length]).decode(), self._all[position : position + count]
            position += count

    def _added(self, key: str, count: int) -> Numbers:
        text = key.encode()
        position = int(self._all[0])
        values = position + 2 + ceil(len(text) / _NUMBER_BYTES)
        if values + count > len(self._all):
            return memoryview(bytearray(count * _NUMBER_BYTES)).cast("d")
        self._all[position], self._all[position + 1] = len(text), count
        begin = (position + 2) * _NUMBER_BYTES
        self._bytes[begin : begin + len(text)] = text
        # This comes last: if the process is killed before, the room counts as unused, and no reader sees half a key.
        self._all[0] = values + count
        return self._all[values : values + count]
