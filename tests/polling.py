"""Wait until another thread or process has done something, by checking a condition repeatedly."""

import time
from collections.abc import Callable
from typing import TypeVar

_Found = TypeVar("_Found")
_STEP_SECONDS = 0.01


def wait_until(condition: Callable[[], _Found], seconds: float = 15.0) -> _Found:
    """Call the condition until it returns something true, and return that; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{condition} did not become true within {seconds} s")
        time.sleep(_STEP_SECONDS)
    return found
