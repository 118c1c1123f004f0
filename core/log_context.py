"""Values that every log line has in common while a request or a job is handled, such as its id.

They are kept in one context variable, so a thread or a task that runs in a copy of the context has them too.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

_NOTHING: Final[Mapping[str, Any]] = {}
_values: Final[ContextVar[Mapping[str, Any]]] = ContextVar("log_context", default=_NOTHING)


def log_context() -> Mapping[str, Any]:
    """Return the values of the request or the job that is handled."""
    return _values.get()


def begin_log_context(**values: Any) -> None:
    """Replace all values, because the handling of something new begins here."""
    _values.set(values)


@contextmanager
def bound_to_log(**values: Any) -> Iterator[None]:
    """Add values inside the block."""
    token = _values.set({**_values.get(), **values})
    try:
        yield
    finally:
        _values.reset(token)
