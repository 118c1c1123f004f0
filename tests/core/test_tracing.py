"""The ids of traces, and what processes send to a collector."""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core import tracing
from core.config import Settings
from tests.doubles.otlp import Collector

PROJECT = Path(__file__).resolve().parents[2]
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as running:
        yield running


@pytest.fixture
def traced_settings(settings: Settings, collector: Collector) -> Iterator[Settings]:
    """Settings with which this process sends its spans to the collector."""
    changed = settings.model_copy(update={"otel_exporter_otlp_endpoint": collector.endpoint})
    tracing.configure(changed, "tests")
    yield changed
    tracing.configure(settings, "tests")


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "00",
        PARENT.upper(),
        f"{PARENT} ",
        f"00-{TRACE}-0000000000000000-01",
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"ff-{TRACE}-b7ad6b7169203331-01",
        f"00-{TRACE[1:]}-b7ad6b7169203331-01",
    ],
)
def test_a_header_that_is_not_valid_is_ignored(header: str | None) -> None:
    assert tracing.parsed(header) is None


def test_the_header_names_a_trace_and_a_span() -> None:
    assert tracing.parsed(PARENT) == (TRACE, "b7ad6b7169203331")


@pytest.mark.parametrize("request_id", ["0" * 32, "short", TRACE.upper(), "x" * 128])
def test_each_request_id_has_a_trace_of_its_own(request_id: str) -> None:
    trace = tracing.trace_id_of(request_id)

    assert tracing.parsed(f"00-{trace}-{tracing.span_id_of(request_id)}-01") is not None
    assert tracing.trace_id_of(trace) == trace != request_id


def test_a_job_is_in_the_trace_of_its_request(traced_settings: Settings, collector: Collector) -> None:
    span = tracing.begin_request("the-request", None)
    tracing.traced(lambda: None, "database")()
    tracing.end_request(span, "GET", "/api/v1/tasks", 200)
    with pytest.raises(LookupError), tracing.job("weather.enrich", "the-request"), tracing.call_to("open-meteo"):
        raise LookupError("what somebody has written")
    tracing.finish()

    spans = collector.of_trace(tracing.trace_id_of("the-request"))
    request, job, call = spans["GET /api/v1/tasks"], spans["weather.enrich"], spans["call open-meteo"]
    assert (request.parent, job.parent, call.parent) == ("", request.id, job.id)
    assert request.id == tracing.span_id_of("the-request")
    assert [span.parent for span in spans.values()].count(request.id) == 2
    assert request.attributes["http.response.status_code"] == 200
    assert call.attributes == {"error.type": "LookupError"}
    assert not any(b"what somebody has written" in body for body in collector.bodies)


def test_a_client_may_begin_the_trace(traced_settings: Settings, collector: Collector) -> None:
    assert tracing.offered_trace(PARENT) == TRACE
    tracing.end_request(tracing.begin_request(TRACE, PARENT), "GET", "/joined", 200)
    tracing.end_request(tracing.begin_request("its-own-id", PARENT), "GET", "/linked", 200)
    tracing.finish()

    joined, linked = (span for span in collector.spans if span.name.startswith("GET"))
    assert (joined.trace, joined.parent, joined.links) == (TRACE, "b7ad6b7169203331", ())
    assert (linked.trace, linked.parent, linked.links) == (tracing.trace_id_of("its-own-id"), "", (TRACE,))


def test_all_processes_keep_the_same_part_of_the_traces(settings: Settings, collector: Collector) -> None:
    half = {"otel_exporter_otlp_endpoint": collector.endpoint, "traces_ratio": 0.5}
    tracing.configure(settings.model_copy(update=half), "tests")
    numbers = [f"{number:032x}" for number in range(1, 201)]
    for number in numbers:
        tracing.end_request(tracing.begin_request(number, None), "GET", "/", 200)
        with tracing.job("mail.send", number):
            pass
    tracing.finish()
    tracing.configure(settings, "tests")

    requests = {span.trace for span in collector.spans if span.name == "GET /"}
    jobs = {span.trace for span in collector.spans if span.name == "mail.send"}
    assert requests == jobs
    assert 60 < len(requests) < 140


def test_the_exporter_is_not_imported_without_a_collector(environ: dict[str, str]) -> None:
    """A part of OpenTelemetry is imported in any case, by the client of Redis."""
    script = """
import os, sys
from api import app
from core import tracing
from core.config import Settings
from worker import app as worker
settings = Settings.from_environ(os.environ)
tracing.configure(settings, "web")
with tracing.job("mail.send", "the-request"), tracing.call_to("open-meteo"):
    pass
assert tracing.begin_request("the-request", None) is None
assert tracing.log_fields("the-request") == {}
assert not {"core.spans", "opentelemetry.exporter", "google.protobuf"} & set(sys.modules)
"""
    subprocess.run(  # noqa: S603 - this interpreter and the script above.
        [sys.executable, "-c", script], cwd=PROJECT, env=os.environ | environ, check=True, timeout=60
    )


def test_a_collector_that_cannot_be_reached_does_no_harm(
    settings: Settings, unused_tcp_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = {"otel_exporter_otlp_endpoint": f"http://127.0.0.1:{unused_tcp_port}"}
    tracing.configure(settings.model_copy(update=nowhere), "tests")
    with caplog.at_level(logging.WARNING):
        tracing.end_request(tracing.begin_request("the-request", None), "GET", "/", 200)
        tracing.finish()
    tracing.configure(settings, "tests")

    assert not [record for record in caplog.records if record.exc_info]
