"""What tests of real processes share."""

import socket
import time
from collections.abc import Callable
from contextlib import closing

import psutil  # type: ignore[import-untyped]  # - the package ships no types

DEADLINE_SECONDS = 40.0


def eventually(condition: Callable[[], object]) -> None:
    """Wait until the condition is true, and fail where it never becomes so."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "What was awaited has not come."
        time.sleep(0.02)


def is_alive(process: int) -> bool:
    """Tell whether the process runs; one that has ended and waits for its parent to notice does not."""
    try:
        return bool(psutil.Process(process).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def free_port() -> int:
    """Return a port of this machine on which nobody listens."""
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
