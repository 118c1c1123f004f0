"""The spans of `core.tracing`, made with the library of OpenTelemetry, which only this module imports."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from zlib import crc32

from opentelemetry.context import Context, attach
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    get_current_span,
    set_span_in_context,
)

_SEND_EVERY_MILLISECONDS: Final = 1000
_SEND_SECONDS: Final = 5.0
_ALL: Final = 2**32


class _Ids(RandomIdGenerator):
    """Random ids, except for the span of a request, whose ids are given."""

    def __init__(self) -> None:
        self.given = threading.local()

    def generate_trace_id(self) -> int:
        return getattr(self.given, "trace_id", None) or super().generate_trace_id()

    def generate_span_id(self) -> int:
        return getattr(self.given, "span_id", None) or super().generate_span_id()

    @contextmanager
    def of(self, trace_id: str, span_id: str) -> Iterator[None]:
        """Give these ids to the span that this thread makes in the block."""
        self.given.trace_id, self.given.span_id = int(trace_id, 16), int(span_id, 16)
        try:
            yield
        finally:
            self.given.trace_id = self.given.span_id = None


class Spans:
    """Makes spans, and sends them from a thread of its own.

    Whether a trace is kept depends on its id alone, so all processes decide alike. Nothing is done for the others.
    """

    def __init__(self, endpoint: str, *, service: str, version: str, ratio: float) -> None:
        self._ids = _Ids()
        self._ratio = ratio
        resource = Resource({"service.name": service, "service.version": version})
        self._provider = TracerProvider(resource=resource, id_generator=self._ids, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint=endpoint, timeout=_SEND_SECONDS)
        self._provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=_SEND_EVERY_MILLISECONDS))
        self._tracer = self._provider.get_tracer("allweather", version)

    def finish(self) -> None:
        """Send what waits, and end the thread."""
        self._provider.shutdown()

    def begin_request(self, trace_id: str, span_id: str, offered: tuple[str, str] | None) -> Span | None:
        """Begin the span of a request with these ids, and let it be the current one in this context.

        `offered` is the trace and the span of the client: the parent if it is the same trace, otherwise it is linked.
        """
        if not self._keeps(trace_id):
            return None
        is_parent = offered is not None and offered[0] == trace_id
        parent = set_span_in_context(_remote(*offered), Context()) if offered and is_parent else Context()
        links = [Link(_remote(*offered).get_span_context())] if offered and not is_parent else []
        with self._ids.of(trace_id, span_id):
            span = self._tracer.start_span("request", parent, SpanKind.SERVER, links=links)
        attach(set_span_in_context(span))
        return span

    @contextmanager
    def job(self, name: str, parent: tuple[str, str] | None) -> Iterator[None]:
        """Let the block be the span of a job; without a parent it begins a trace of its own."""
        if parent is not None and not self._keeps(parent[0]):
            yield
            return
        within = Context() if parent is None else set_span_in_context(_remote(*parent), Context())
        with (
            self._tracer.start_as_current_span(
                name, within, SpanKind.CONSUMER, record_exception=False, set_status_on_exception=False
            ) as span,
            _failing(span),
        ):
            yield

    @contextmanager
    def inner(self, name: str, *, is_call: bool = False) -> Iterator[None]:
        """Let the block be a span inside the current one, if there is one."""
        if not get_current_span().is_recording():
            yield
            return
        kind = SpanKind.CLIENT if is_call else SpanKind.INTERNAL
        with (
            self._tracer.start_as_current_span(
                name, kind=kind, record_exception=False, set_status_on_exception=False
            ) as span,
            _failing(span),
        ):
            yield

    def _keeps(self, trace_id: str) -> bool:
        # Ids that the application has made are numbers in a row, so they are mixed first.
        return crc32(trace_id.encode()) < self._ratio * _ALL


def _remote(trace_id: str, span_id: str) -> NonRecordingSpan:
    flags = TraceFlags(TraceFlags.SAMPLED)
    return NonRecordingSpan(SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=flags))


@contextmanager
def _failing(span: Any) -> Iterator[None]:
    """Note the class of an error in a span, and not its text, which may contain what people have written."""
    try:
        yield
    except Exception as error:
        span.set_attribute("error.type", type(error).__name__)
        span.set_status(Status(StatusCode.ERROR))
        raise
