"""A server process with its own directory. It is stopped when its owner ends, and its owner can see that it has died.

The owner is the process that starts the server. It holds a lock on the directory, so that there is only one owner at a
time. The server holds a second lock. The next owner can see from this lock whether an old server is still running.
"""

import fcntl
import os
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from signal import SIGINT, SIGKILL
from types import TracebackType
from typing import Any, ClassVar, Self

from core.local.embedded.lifeline import Lifeline
from core.private_files import FILE_MODE, make_private_directory, open_privately, write_private

_START_SECONDS = 60.0  # A server that was killed may have much to recover.
_STOP_SECONDS = 20.0
_POLL_SECONDS = 0.02


class EmbeddedError(Exception):
    """An embedded server cannot run; the message says why and what to do."""


class EmbeddedServer(ABC):
    """A server process with its own directory; as a context manager it runs until the block ends.

    `durable=False` is for tests: it is faster, but a crash may lose data. Entering the block raises EmbeddedError if
    the server cannot run, or if another process already runs it in this directory.
    """

    title: ClassVar[str]
    url: str

    def __init__(self, directory: Path, *, durable: bool = True) -> None:
        self._directory = directory.resolve()
        self._durable = durable
        self._resources = ExitStack()
        self._process: subprocess.Popen[bytes] | None = None
        # Open files that the server inherits.
        self._inherited: list[int] = []

    def __enter__(self) -> Self:
        try:
            make_private_directory(self._directory)
            self._lock_directory()
            self._lifeline = self._resources.enter_context(Lifeline())
            self._stop_leftover()
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
        """Whether the process is running."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process, or restart it after it has died, and wait until it accepts connections."""
        if self._process is not None:
            self._lifeline.release(self._process.pid)
            self._stop_leftover()
        with (
            open(self._directory / "log", "ab", opener=open_privately) as log,
            open(self._process_file, "wb", opener=open_privately) as process_file,
        ):
            os.fchmod(log.fileno(), FILE_MODE)  # Earlier versions made a file that everybody could read.
            _try_lock(process_file.fileno())
            try:
                self._process = subprocess.Popen(  # noqa: S603 - each subclass names its program
                    self._command(),
                    cwd=self._directory,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=[process_file.fileno(), *self._inherited],
                    start_new_session=True,
                    umask=0o077,
                    **self._identity(),
                )
            except OSError as error:
                raise EmbeddedError(f"{self.title} cannot run on this machine: {error}.") from None
            self._lifeline.guard(self._process.pid, SIGINT)
            process_file.write(str(self._process.pid).encode())
        _wait_until(lambda: self._accepts_connections() or not self.is_running(), _START_SECONDS)
        if not self._accepts_connections():
            raise EmbeddedError(f"{self.title} did not start; the end of its log:\n{self._log_end()}")

    @abstractmethod
    def _prepare(self) -> None:
        """Make the files that the first start needs, and set `url`."""

    @abstractmethod
    def _command(self) -> list[str]: ...

    @abstractmethod
    def _accepts_connections(self) -> bool: ...

    def _identity(self) -> dict[str, Any]:
        """Return the arguments of Popen that make the process run as another user."""
        return {}

    @property
    def _process_file(self) -> Path:
        """The file that is locked as long as the server or one of its child processes runs; children inherit the lock.

        A process number is not enough: after the process has ended, another process may get the same number.
        """
        return self._directory / "server"

    def _lock_directory(self) -> None:
        descriptor = os.open(self._directory / "owner", os.O_RDWR | os.O_CREAT, 0o600)
        self._resources.callback(os.close, descriptor)
        if not _try_lock(descriptor):
            raise EmbeddedError(
                f"{self._directory} is in use: process {os.read(descriptor, 20).decode()} runs {self.title} there. "
                "Stop that process first, or choose another DATA_DIR."
            )
        os.truncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())

    def _stop_leftover(self) -> None:
        """Stop a server of an owner that was killed, or the remaining child processes of a server that died."""
        if not self._process_file.exists():
            return
        with self._process_file.open("rb") as process_file:
            number = process_file.read().decode()
            for signal in (SIGINT, SIGKILL):
                if _try_lock(process_file.fileno()):
                    return
                with suppress(ProcessLookupError):
                    os.kill(int(number), signal)
                _wait_until(lambda: _try_lock(process_file.fileno()), _STOP_SECONDS)
            if not _try_lock(process_file.fileno()):
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


@contextmanager
def announced(directory: Path, url: str) -> Iterator[None]:
    """Let `running_url()` return the URL of a server that runs within this process, until the block ends.

    Raises EmbeddedError if another process does this for the same directory.
    """
    make_private_directory(directory)
    with open(directory / "owner", "ab", opener=open_privately) as owner:
        if not _try_lock(owner.fileno()):
            raise EmbeddedError(
                f"Allweather already runs with {directory.parent}. Stop it first, or set DATA_DIR to another directory."
            )
        write_private(directory / "url", url)
        yield


def running_url(directory: Path) -> str | None:
    """Return the URL of the server that another process runs in `directory`, or None if there is none."""
    try:
        with (directory / "owner").open("rb") as owner:
            return None if _try_lock(owner.fileno()) else (directory / "url").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


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
