"""Calls that meet: each thread works on a database connection of its own and gives it back at the end."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from core import db

_Result = TypeVar("_Result")


def disconnecting(function: Callable[..., _Result]) -> Callable[..., _Result]:
    """Wrap a function that is to run in another thread, so that its database connection is closed after it."""

    def call(*args: Any, **kwargs: Any) -> _Result:
        try:
            return function(*args, **kwargs)
        finally:
            db.disconnect()

    return call


def at_once(function: Callable[[int], _Result], times: int) -> list[_Result]:
    """Call the function in as many threads at the same time, with 0, 1, 2, …, and return the results in this order."""
    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(disconnecting(function), range(times)))
