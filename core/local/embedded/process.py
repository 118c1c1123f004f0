"""A server process with a directory of its own that survives neither its owner nor, unnoticed, itself.

An owner holds a lock on the directory, so that there is one at a time. The server holds another one, which tells the
next owner whether something was left behind.
"""

import fcntl
import os
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from signal import SIGINT, SIGKILL
from types import TracebackType
from typing import Any, ClassVar, Self

from core.local.embedded.lifeline import Lifeline

_START_SECONDS = 60.0  # A server that was killed may have much to recover.
_STOP_SECONDS = 20.0
_POLL_SECONDS = 0.02


class EmbeddedError(Exception):
    """A server out of a wheel cannot run; the message says why and what to do."""


class EmbeddedServer(ABC):
    """A server process with a directory of its own; as a context manager it runs for the length of the block.

    `durable=False` trades the safety of the data for speed, for tests. Entering raises EmbeddedError where the
    server cannot run, or where another process already runs it in this directory.
    """

    title: ClassVar[str]
    url: str

    def __init__(self, directory: Path, *, durable: bool = True) -> None:
        self._directory = directory.resolve()
        self._durable = durable
        self._resources = ExitStack()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._become_owner()
            self._lifeline = self._resources.enter_context(Lifeline())
            self._end_leftover()
            self._prepare()
            self._resources.callback(self._stop)
            self.start()
            write_private(self._directory / "url", self.url)
        except BaseException:
            self._resources.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.close()

    def is_running(self) -> bool:
        """Tell whether the process is alive."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process and wait until it answers; inside the block again, should it have died."""
        if self._process is not None:
            self._lifeline.release(self._process.pid)
            self._end_leftover()
        with (self._directory / "log").open("ab") as log, self._presence.open("wb") as presence:
            _try_lock(presence.fileno())
            try:
                self._process = subprocess.Popen(  # noqa: S603 - each subclass names its program
                    self._command(),
                    cwd=self._directory,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=[presence.fileno()],
                    start_new_session=True,
                    **self._identity(),
                )
            except OSError as error:
                raise EmbeddedError(f"{self.title} cannot run on this machine: {error}.") from None
            self._lifeline.guard(self._process.pid, SIGINT)
            presence.write(str(self._process.pid).encode())
        _wait_until(lambda: self._answers() or not self.is_running(), _START_SECONDS)
        if not self._answers():
            raise EmbeddedError(f"{self.title} did not start; the end of its log:\n{self._log_end()}")

    @abstractmethod
    def _prepare(self) -> None:
        """Make what must be there before the first start, and set `url`."""

    @abstractmethod
    def _command(self) -> list[str]: ...

    @abstractmethod
    def _answers(self) -> bool: ...

    def _identity(self) -> dict[str, Any]:
        """Answer the arguments of Popen that make the process run as somebody else."""
        return {}

    @property
    def _presence(self) -> Path:
        """The file that the server and its children, who inherit it, hold locked as long as one of them lives.

        Unlike a process number it is never stale and never means another process.
        """
        return self._directory / "server"

    def _become_owner(self) -> None:
        descriptor = os.open(self._directory / "owner", os.O_RDWR | os.O_CREAT, 0o600)
        self._resources.callback(os.close, descriptor)
        if not _try_lock(descriptor):
            raise EmbeddedError(
                f"{self._directory} is in use: process {os.read(descriptor, 20).decode()} runs {self.title} there. "
                "Stop that process first, or choose another DATA_DIR."
            )
        os.truncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())

    def _end_leftover(self) -> None:
        """Stop what an owner that was killed has left behind, or what is left of a server that died."""
        if not self._presence.exists():
            return
        with self._presence.open("rb") as presence:
            number = presence.read().decode()
            for order in (SIGINT, SIGKILL):
                if _try_lock(presence.fileno()):
                    return
                with suppress(ProcessLookupError):
                    os.kill(int(number), order)
                _wait_until(lambda: _try_lock(presence.fileno()), _STOP_SECONDS)
            if not _try_lock(presence.fileno()):
                raise EmbeddedError(f"{self.title} of an earlier run, process {number}, does not end.")

    def _stop(self) -> None:
        if self._process is None:
            return
        self._process.send_signal(SIGINT)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._lifeline.release(self._process.pid)

    def _log_end(self) -> str:
        lines = (self._directory / "log").read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-10:])


def running_url(directory: Path) -> str | None:
    """Answer the URL of the server that another process runs in `directory`, None where there is none."""
    try:
        with (directory / "owner").open("rb") as owner:
            return None if _try_lock(owner.fileno()) else (directory / "url").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait_until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
