"""Traces of requests: through their use cases, the jobs that follow from them, and the provider of the weather.

Spans go to a collector over OTLP, if `OTEL_EXPORTER_OTLP_ENDPOINT` names one. Its exporter is imported only then. (The
client of Redis imports a part of OpenTelemetry wherever it is installed, which takes 40 ms and 3 MB of a process.)

Nothing but the id of the request travels with an event and a job, so the ids of the trace and of the span of a request
are made from it. A client that sends `traceparent` and no `X-Request-ID` chooses the trace, whose id is then the id of
the request too. If it sends both, its own trace is linked.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, TypeVar

from core import __version__
from core.config import Settings

if TYPE_CHECKING:
    from core.spans import Spans

_Result = TypeVar("_Result")

_TRACE_BYTES: Final = 16
_SPAN_BYTES: Final = 8
_TRACE_ID: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)
_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?", re.ASCII)


class _Process:
    """The spans of this process; None if there is no collector."""

    spans: "Spans | None" = None


def configure(settings: Settings, process: str) -> None:
    """Send spans from now on, if the settings name a collector. A forked process must call this itself.

    `process` is the kind of the process, which is a part of the name of its service.
    """
    if settings.otel_exporter_otlp_endpoint is None:
        _Process.spans = None
        return
    from core.spans import Spans  # noqa: PLC0415 - see the docstring of the module.

    endpoint = f"{settings.otel_exporter_otlp_endpoint.rstrip('/')}/v1/traces"
    _Process.spans = Spans(endpoint, service=f"allweather-{process}", version=__version__, ratio=settings.traces_ratio)


def finish() -> None:
    """Send the spans that wait, before the process ends."""
    if _Process.spans is not None:
        _Process.spans.finish()


def offered_trace(traceparent: str | None) -> str | None:
    """Return the id of the trace that a client has begun, or None if it has not, or if there is no collector."""
    if _Process.spans is None or (parent := parsed(traceparent)) is None:
        return None
    return parent[0]


def parsed(traceparent: str | None) -> tuple[str, str] | None:
    """Return the ids of the trace and of the span that W3C's header names, or None if it is missing or not valid."""
    found = _TRACEPARENT.fullmatch(traceparent or "")
    if found is None or not int(found[1], 16) or not int(found[2], 16):
        return None
    return found[1], found[2]


def trace_id_of(request_id: str) -> str:
    """Return the id of the trace of a request: the id of the request itself, if it has the form of one."""
    if _TRACE_ID.fullmatch(request_id) and int(request_id, 16):
        return request_id
    return sha256(request_id.encode()).hexdigest()[: 2 * _TRACE_BYTES]


def span_id_of(request_id: str) -> str:
    """Return the id of the span of a request, which is the parent of the spans of its jobs."""
    return sha256(b"span of " + request_id.encode()).hexdigest()[: 2 * _SPAN_BYTES]


def log_fields(request_id: str) -> dict[str, str]:
    """Return what each line of the log has of the trace of a request: nothing if there is no collector."""
    return {} if _Process.spans is None else {"trace_id": trace_id_of(request_id)}


def begin_request(request_id: str, traceparent: str | None) -> Any:
    """Begin the span of a request in the context of this task, and return it for `end_request()`.

    Returns None if there is no collector, or if this trace is not among those that are kept.
    """
    if _Process.spans is None:
        return None
    return _Process.spans.begin_request(trace_id_of(request_id), span_id_of(request_id), parsed(traceparent))


def end_request(span: Any, method: str, route: str, status: int) -> None:
    """End the span of a request."""
    if span is not None:
        span.update_name(f"{method} {route}")
        span.set_attributes({"http.request.method": method, "http.route": route, "http.response.status_code": status})
        span.end()


@contextmanager
def job(name: str, request_id: str | None) -> Iterator[None]:
    """Let the block be a span, in the trace of the request that has caused the job, if there was one."""
    if _Process.spans is None:
        yield
        return
    parent = None if request_id is None else (trace_id_of(request_id), span_id_of(request_id))
    with _Process.spans.job(name, parent):
        yield


@contextmanager
def call_to(server: str) -> Iterator[None]:
    """Let the block, which calls another server, be a span of the request or the job that is handled."""
    if _Process.spans is None:
        yield
        return
    with _Process.spans.inner(f"call {server}", is_call=True):
        yield


def traced(function: Callable[[], _Result], name: str) -> Callable[[], _Result]:
    """Return the function, or one that calls it in a span of the request that is handled.

    `name` says what it is, if the function itself does not know its name.
    """
    spans = _Process.spans
    if spans is None:
        return function
    inner = getattr(function, "func", function)
    with suppress(AttributeError):
        name = f"{inner.__module__.removeprefix('core.services.')}.{inner.__qualname__}"

    def call() -> _Result:
        with spans.inner(name):
            return function()

    return call
