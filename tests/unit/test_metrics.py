"""Metrics of several processes: the memory that they share, the three kinds, and the text for Prometheus."""

import os
import sys
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from core import metrics
from core.config import Settings
from core.metrics.export import Counted, start_export
from core.metrics.kinds import DECLARED
from core.metrics.memory import Memory
from tests.metrics import samples
from tests.processes import free_ports

COUNTER = metrics.MAILS
GAUGE = metrics.SOCKETS_OPEN
HISTOGRAM = metrics.JOB_SECONDS


@pytest.fixture(autouse=True)
def memory() -> Iterator[Memory]:
    """A memory of its own for each test."""
    earlier, own = metrics.memory(), Memory()
    metrics.count_in(own)
    yield own
    metrics.count_in(earlier)


def exported(*memories: Memory) -> list[str]:
    registry = CollectorRegistry()
    registry.register(Counted(memories))
    return [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]


def count_in_a_fork(memory: Memory) -> None:
    """Count a mail in a process that is killed before it could clean anything up."""
    child = os.fork()
    if child == 0:
        metrics.count_in(memory)
        COUNTER.add(1, "sent")
        GAUGE.add(1)
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)


def test_what_a_killed_process_has_counted_is_kept_and_continued() -> None:
    shared, other = Memory(), Memory()

    count_in_a_fork(shared)
    count_in_a_fork(shared)
    count_in_a_fork(other)

    assert 'allweather_mails_total{outcome="sent"} 3.0' in exported(shared, other)


def test_what_a_killed_process_had_at_that_moment_is_forgotten_by_the_next() -> None:
    shared = Memory()
    count_in_a_fork(shared)
    count_in_a_fork(shared)

    assert "allweather_sockets_open 1.0" in exported(shared)


def test_a_histogram_has_cumulative_buckets(memory: Memory) -> None:
    for seconds in (0.005, 0.02, 0.02, 1000.0):
        HISTOGRAM.observe(seconds, "mail.send", "done")

    lines = exported(memory)

    labels = 'name="mail.send",outcome="done"'
    name = "allweather_job_duration_seconds"
    assert f'{name}_bucket{{le="0.005",name="mail.send",outcome="done"}} 1.0' in lines
    assert f'{name}_bucket{{le="0.05",name="mail.send",outcome="done"}} 3.0' in lines
    assert f'{name}_bucket{{le="45.0",name="mail.send",outcome="done"}} 3.0' in lines
    assert f'{name}_bucket{{le="+Inf",name="mail.send",outcome="done"}} 4.0' in lines
    assert f"{name}_count{{{labels}}} 4.0" in lines
    assert f"{name}_sum{{{labels}}} 1000.045" in lines


def test_the_number_of_a_gauge_is_looked_up_when_samples_are_taken(memory: Memory) -> None:
    open_sockets = [1, 2]
    GAUGE.read_from(lambda: len(open_sockets))
    metrics.sample()
    open_sockets.append(3)

    assert "allweather_sockets_open 2.0" in exported(memory)
    metrics.sample()
    assert "allweather_sockets_open 3.0" in exported(memory)


def test_a_memory_that_is_full_keeps_what_it_has() -> None:
    small = Memory(64)
    small.place("first", 2)[0] = 5.0

    small.place("second", 100)[0] = 7.0

    assert [(key, list(numbers)) for key, numbers in small.items()] == [("first", [5.0, 0.0])]


def test_the_names_follow_the_conventions_of_prometheus() -> None:
    for name, declared in DECLARED.items():
        assert name.startswith("allweather_"), name
        assert name.endswith("_total") == isinstance(declared, metrics.Counter), name
        assert name.endswith("_seconds") == isinstance(declared, metrics.Histogram), name


def test_each_kind_of_process_has_its_own_port(memory: Memory) -> None:
    first = free_ports(3)
    COUNTER.add(1, "sent")

    for kind in ("web", "worker", "beat"):
        start_export(with_metrics_at(first), kind, Counted([memory]))

    for port in range(first, first + 3):
        assert ("allweather_mails_total", {"outcome": "sent"}, 1.0) in samples(port)
        (build,) = [labels for name, labels, _ in samples(port) if name == "allweather_build_info"]
        assert build["python"] == sys.version.split()[0]


def test_a_process_does_not_start_if_its_port_for_metrics_is_in_use() -> None:
    settings = with_metrics_at(free_ports(1))
    start_export(settings, "web")

    with pytest.raises(SystemExit) as ended:
        start_export(settings, "web")

    assert ended.value.code == 3


def with_metrics_at(port: int) -> Settings:
    """Return settings with this port for metrics."""
    required = {"secret_key": "k" * 32, "database_url": "postgresql://db/x", "redis_url": "redis://r/0"}
    return Settings.model_validate({**required, "metrics_port": port})
