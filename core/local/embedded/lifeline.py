"""Let no process outlive its owner, not even an owner that was killed and could clean up nothing."""

import contextlib
import os
import subprocess
from signal import Signals
from types import TracebackType
from typing import Self

# Every line holds the whole list; the shell acts on the last one when the pipe ends.
_WATCH = """
while read -r line; do doomed=$line; done
for entry in $doomed; do kill -s "${entry%%:*}" -- "-${entry#*:}"; done
"""


class Lifeline:
    """A watcher at the end of a pipe that the kernel closes together with its owner, however the owner ends.

    The watcher then signals every process group it was told to guard. A group must be led by a process that was
    started in a session of its own.
    """

    def __init__(self) -> None:
        self._guarded: dict[int, Signals] = {}
        read_end, self._write_end = os.pipe()
        self._watcher = subprocess.Popen(  # noqa: S603 - the shell text is a constant
            ["/bin/sh", "-c", _WATCH],
            stdin=read_end,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )
        os.close(read_end)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of the watcher; a group that is still guarded gets its signal."""
        os.close(self._write_end)
        self._watcher.wait()

    def guard(self, leader: int, signal: Signals) -> None:
        """Have `signal` sent to the process group that the process `leader` leads when the owner is gone."""
        self._guarded[leader] = signal
        self._tell()

    def release(self, leader: int) -> None:
        """Forget a process group that has ended; its number may soon belong to another."""
        self._guarded.pop(leader, None)
        self._tell()

    def _tell(self) -> None:
        entries = (f"{signal.name.removeprefix('SIG')}:{leader}" for leader, signal in self._guarded.items())
        with contextlib.suppress(BrokenPipeError):  # A watcher that somebody ended must not end its owner too.
            os.write(self._write_end, (" ".join(entries) + "\n").encode())
