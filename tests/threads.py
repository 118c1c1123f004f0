"""Parallel calls: each thread uses its own database connection and closes it at the end."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from core import db

_Result = TypeVar("_Result")


def disconnecting(function: Callable[..., _Result]) -> Callable[..., _Result]:
    """Wrap a function for another thread, so that the thread's database connection is closed after the call."""

    def call(*args: Any, **kwargs: Any) -> _Result:
        try:
            return function(*args, **kwargs)
        finally:
            db.disconnect()

    return call


def in_parallel(function: Callable[[int], _Result], times: int) -> list[_Result]:
    """Call the function in `times` threads at the same time, with 0, 1, 2, …; return the results in this order."""
    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(disconnecting(function), range(times)))
