"""Stop processes when their owner ends, even if the owner was killed and could not stop them itself."""

import contextlib
import os
import subprocess
from signal import Signals
from types import TracebackType
from typing import Self

# Every line contains the whole list. When the pipe is closed, the shell uses the last line.
_WATCH = """
while read -r line; do guarded=$line; done
for entry in $guarded; do kill -s "${entry%%:*}" -- "-${entry#*:}"; done
"""


class Lifeline:
    """A watcher process that reads from a pipe; the kernel closes the pipe when its owner ends for any reason.

    The watcher then sends a signal to every guarded process group. The leader of a group must be a process that was
    started in its own session.
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
        """End the watcher; a group that is still guarded gets its signal."""
        os.close(self._write_end)
        self._watcher.wait()

    def guard(self, leader: int, signal: Signals) -> None:
        """When the owner ends, send `signal` to the process group whose leader is the process `leader`."""
        self._guarded[leader] = signal
        self._send_guarded()

    def release(self, leader: int) -> None:
        """Stop guarding a process group that has ended; another process may get its number."""
        self._guarded.pop(leader, None)
        self._send_guarded()

    def _send_guarded(self) -> None:
        entries = (f"{signal.name.removeprefix('SIG')}:{leader}" for leader, signal in self._guarded.items())
        with contextlib.suppress(BrokenPipeError):  # If the watcher was killed, its owner must keep running.
            os.write(self._write_end, (" ".join(entries) + "\n").encode())
