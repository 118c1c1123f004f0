"""The top load of several servers in alternating rounds, with the CPU time that each response cost."""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from benchmarks.generators import Load, top_load
from benchmarks.load import Request
from benchmarks.stack import Server, Stack
from benchmarks.suite import Options, progress

_WARM_UP_SECONDS: Final = 1.0


@dataclass
class Samples:
    """What the rounds of one request and one server measured. The costs are µs of CPU time for each response."""

    loads: list[Load] = field(default_factory=list)
    web_costs: list[float] = field(default_factory=list)
    database_costs: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """The median of the responses per second."""
        return statistics.median(load.rate for load in self.loads)

    @property
    def generator_share(self) -> float:
        """The largest share of a core that the generator used."""
        return max(load.generator_share for load in self.loads)

    def ratio(self, other: "Samples") -> float:
        """Return the median of the ratios of the rounds to those of another server."""
        pairs = zip(self.loads, other.loads, strict=True)
        return statistics.median(own.rate / others.rate for own, others in pairs)


def measure(
    stack: Stack, servers: Mapping[str, Server], requests: Mapping[str, Request], name: str, options: Options
) -> dict[str, Samples]:
    """Measure the top load of each server in each round. Every second round has the opposite order."""
    samples = {server: Samples() for server in servers}
    for server, running in servers.items():
        top_load(running.port, requests[server], _WARM_UP_SECONDS)
    for number in range(options.rounds):
        for server in list(servers)[:: -1 if number % 2 else 1]:
            running = servers[server]
            web, database = running.cpu_seconds(), stack.database_cpu_seconds()
            load = top_load(running.port, requests[server], options.seconds)
            samples[server].loads.append(load)
            samples[server].web_costs.append((running.cpu_seconds() - web) / load.responses * 1e6)
            samples[server].database_costs.append((stack.database_cpu_seconds() - database) / load.responses * 1e6)
        rates = ", ".join(f"{server} {of_server.loads[-1].rate:,.0f}" for server, of_server in samples.items())
        progress(f"{name}, round {number + 1} of {options.rounds}: {rates} a second")
    return samples
