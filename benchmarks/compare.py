"""Compare one process of the API with a bare peer, an equal peer, and a bare application of Falcon."""

import statistics
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

from benchmarks.figures import at_least, percentile
from benchmarks.load import Request, paced
from benchmarks.rounds import Samples, measure
from benchmarks.stack import Server, Stack, User
from benchmarks.suite import Chart, Options, Result, Row, progress

CREATE: Final = b'{"title": "Clean the gutters", "description": "Before the rain comes."}'
OURS: Final = "Allweather"
BARE: Final = "bare peer"
EQUAL: Final = "equal peer"
FALCON: Final = "bare Falcon"
HEALTH: Final = "GET /health"
_HEALTH_GOAL: Final = 0.5


@dataclass(frozen=True)
class Case:
    """A request that is compared: its path under the prefix, and by which factor the API should be faster."""

    name: str
    method: str
    path: str
    user: User
    goals: dict[str, float]
    body: bytes = b""

    def request(self, server: str) -> Request:
        """Return the request for one of the servers."""
        if server == OURS:
            return Request(self.method, f"/api/v1{self.path}", self.user.token, self.body)
        return Request(self.method, self.path, self.user.peer_token, self.body)


@dataclass
class Waits:
    """The responses of both servers at the same rate of requests, and the generator's share of a core meanwhile."""

    rate: float
    milliseconds: dict[str, list[float]] = field(default_factory=lambda: {OURS: [], BARE: []})
    generator_share: float = 0.0


def run(stack: Stack, options: Options) -> Result:
    """Measure rates, costs and latencies of reading, listing and creating tasks, and the rate of `GET /health`."""
    cases = _cases(stack)
    with ExitStack() as running:
        servers = {
            OURS: running.enter_context(stack.api()),
            BARE: running.enter_context(stack.peer(options.peer_python, "benchmarks.peer:app")),
            EQUAL: running.enter_context(stack.peer(options.peer_python, "benchmarks.equal_peer:app")),
        }
        samples = {
            case.name: measure(
                stack, servers, {name: case.request(name) for name in servers}, f"compare: {case.name}", options
            )
            for case in cases
        }
        waits = {case.name: _latencies(servers, case, samples[case.name][BARE].rate / 2, options) for case in cases}
    with stack.api() as own, stack.peer(options.peer_python, "benchmarks.bare_falcon:app") as falcon:
        request = Request("GET", "/health", cases[0].user.token)
        samples[HEALTH] = measure(
            stack, {OURS: own, FALCON: falcon}, {OURS: request, FALCON: request}, f"compare: {HEALTH}", options
        )
    return Result(
        tables={
            "rates": [_rate_row(case, samples[case.name]) for case in cases],
            "health": [_health_row(samples[HEALTH])],
            "latencies": [_latency_row(name, of_case) for name, of_case in waits.items()],
            "costs": [_cost_row(name, of_case) for name, of_case in samples.items()],
            "generator": [_generator_row(name, of_case) for name, of_case in samples.items()],
        },
        charts=_charts(cases, samples, waits),
    )


def _cases(stack: Stack) -> list[Case]:
    # The first task of the new database belongs to the first user, and has the id 1.
    few, many = stack.add_user("few", tasks=100), stack.add_user("many", tasks=30_000)
    writer = stack.add_user("writer", tasks=1)
    return [
        Case("read a task", "GET", "/tasks/1", few, {BARE: 5, EQUAL: 8}),
        Case("list 20 of 100", "GET", "/tasks?limit=20", few, {BARE: 6, EQUAL: 8}),
        Case("list 20 of 30,000", "GET", "/tasks?limit=20", many, {BARE: 4}),
        Case("create a task", "POST", "/tasks", writer, {BARE: 3.5, EQUAL: 5}, CREATE),
    ]


def _latencies(servers: dict[str, Server], case: Case, rate: float, options: Options) -> Waits:
    """Measure the latencies of the API and of the bare peer at the same rate of requests."""
    waits = Waits(rate)
    started, used = time.monotonic(), time.process_time()
    for number in range(options.rounds):
        for server, taken in list(waits.milliseconds.items())[:: -1 if number % 2 else 1]:
            seconds = paced(servers[server].port, case.request(server), options.seconds, rate)
            taken += [1000 * each for each in seconds]
    waits.generator_share = (time.process_time() - used) / (time.monotonic() - started)
    progress(f"compare: {case.name}, latencies at {rate:,.0f} a second")
    return waits


def _rate_row(case: Case, samples: dict[str, Samples]) -> Row:
    row: Row = {"requests per second": case.name, OURS: samples[OURS].rate}
    for peer in (BARE, EQUAL):
        ratio = samples[OURS].ratio(samples[peer])
        row |= {peer: samples[peer].rate, f"times the {peer}": ratio}
        row[f"goal against the {peer}"] = at_least(ratio, case.goals[peer]) if peer in case.goals else ""
    return row


def _health_row(samples: dict[str, Samples]) -> Row:
    share = samples[OURS].ratio(samples[FALCON])
    return {
        "requests per second": HEALTH,
        OURS: samples[OURS].rate,
        FALCON: samples[FALCON].rate,
        "share": share,
        "goal": at_least(share, _HEALTH_GOAL),
    }


def _latency_row(name: str, waits: Waits) -> Row:
    row: Row = {"milliseconds": name, "requests per second": waits.rate}
    for server, milliseconds in waits.milliseconds.items():
        row |= {f"{server} p50": statistics.median(milliseconds), f"{server} p99": percentile(milliseconds, 99)}
    return row | {"cores used by the generator": waits.generator_share}


def _cost_row(name: str, samples: dict[str, Samples]) -> Row:
    row: Row = {"µs of CPU time per request": name}
    for server in (OURS, BARE, EQUAL, FALCON):
        measured = server in samples
        row[server] = statistics.median(samples[server].web_costs) if measured else ""
        if server != FALCON:
            row[f"PostgreSQL for {server}"] = statistics.median(samples[server].database_costs) if measured else ""
    return row


def _generator_row(name: str, samples: dict[str, Samples]) -> Row:
    """Show the largest share of a core that the generator used against each server."""
    row: Row = {"cores used by the generator": name}
    for server in (OURS, BARE, EQUAL, FALCON):
        measured = server in samples
        row[server] = samples[server].generator_share if measured else ""
    return row


def _charts(cases: list[Case], samples: dict[str, dict[str, Samples]], waits: dict[str, Waits]) -> dict[str, Chart]:
    names = [case.name for case in cases]
    three = (OURS, BARE, EQUAL)
    rates = {server: [samples[name][server].rate for name in names] for server in three}
    costs = {server: [statistics.median(samples[name][server].web_costs) for name in names] for server in three}
    p99 = {server: [percentile(waits[name].milliseconds[server], 99) for name in names] for server in (OURS, BARE)}
    return {
        "rates": Chart("Top load of one process", "requests per second", names, rates),
        "latencies": Chart("p99 at half the bare peer's top load", "milliseconds", names, p99),
        "costs": Chart("CPU time of the web process", "µs per request", names, costs),
    }
