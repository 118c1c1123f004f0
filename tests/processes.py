"""What tests of real processes share."""

import time
from collections.abc import Callable

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
