"""Exports metrics over HTTP, at `/metrics` on a port of their own, in the format of Prometheus.

Each kind of process has its own port, counted from `METRICS_PORT`, because all of them may run on one machine with the
same environment. Nobody needs a login, so the address must not be reachable from outside (`METRICS_HOST`).
"""

import platform
import signal
from collections.abc import Iterable
from typing import Final

import orjson
import structlog
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from core import __version__
from core.config import Settings
from core.metrics.kinds import DECLARED, Sums
from core.metrics.memory import Memory

log = structlog.get_logger()

# The port of a kind of process is so much higher than `METRICS_PORT`.
OFFSETS: Final = {"web": 0, "worker": 1, "beat": 2}
# As uvicorn ends if its port is in use, so that a process manager sees the same.
_STARTUP_FAILURE: Final = 3
_STOPPING: Final = (signal.SIGTERM, signal.SIGINT)


class Counted(Collector):
    """What the processes with these memories have counted, summed."""

    def __init__(self, memories: Iterable[Memory]) -> None:
        self._memories = tuple(memories)

    def collect(self) -> Iterable[Metric]:
        """Return each metric for which a process has numbers."""
        found: dict[str, Sums] = {}
        for memory in self._memories:
            for key, numbers in memory.items():
                name, *labels = orjson.loads(key)
                sums = found.setdefault(name, {})
                before = sums.get(tuple(labels), [0.0] * len(numbers))
                sums[tuple(labels)] = [sum(pair) for pair in zip(before, numbers, strict=True)]
        for name, sums in found.items():
            yield DECLARED[name].family(sums)


class Build(Collector):
    """Which version runs, in labels; the value is always 1."""

    def collect(self) -> Iterable[Metric]:
        """Return the one metric."""
        family = GaugeMetricFamily("allweather_build_info", "The version.", labels=("version", "python"))
        family.add_metric((__version__, platform.python_version()), 1)
        yield family


def start_export(settings: Settings, kind: str, *collectors: Collector) -> None:
    """Export metrics in threads of this process, if the settings say so.

    Raises:
        SystemExit: if the port cannot be used. Otherwise a mistake would only be noticed when the metrics are needed.
    """
    if settings.metrics_port is None:
        return
    registry = CollectorRegistry()
    for collector in (Build(), *collectors):
        registry.register(collector)
    port = settings.metrics_port + OFFSETS[kind]
    try:
        start_http_server(port, settings.metrics_host, registry)
    except OSError as error:
        log.error("metrics_port_unavailable", port=port, reason=error.strerror)  # noqa: TRY400 - the reason says all.
        raise SystemExit(_STARTUP_FAILURE) from None


def export_until_stopped(settings: Settings, kind: str, *collectors: Collector) -> None:
    """Export metrics in this process, which does nothing else, until SIGTERM or SIGINT.

    Raises:
        SystemExit: if the port cannot be used.
    """
    # Threads inherit this, so the signals wait for the last line.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    start_export(settings, kind, *collectors)
    signal.sigwait(_STOPPING)
