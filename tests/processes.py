"""Helpers for tests with real processes."""

import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress

import psutil  # type: ignore[import-untyped]  # - the package ships no types

DEADLINE_SECONDS = 40.0


def eventually(condition: Callable[[], object]) -> None:
    """Wait until the condition is true, and fail if it does not become true in time."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "The condition did not become true in time."
        time.sleep(0.02)


def is_alive(process: int) -> bool:
    """Return whether the process runs; a zombie process does not count as running."""
    try:
        return bool(psutil.Process(process).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def free_ports(count: int) -> int:
    """Return the first of several ports in a row on which no process listens."""
    while True:
        first = free_port()
        with ExitStack() as stack, suppress(OSError):
            for port in range(first, first + count):
                stack.enter_context(closing(socket.create_server(("127.0.0.1", port))))
            return first


def free_port() -> int:
    """Return a port of this machine on which no process listens."""
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
