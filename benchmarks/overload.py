"""Offer one web process three times the requests that it can serve, and ask for `GET /health` meanwhile."""

import multiprocessing
import statistics
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Final

from benchmarks.figures import at_least, at_most, percentile
from benchmarks.generators import Load, top_load
from benchmarks.load import Request
from benchmarks.open_load import Outcome, offer
from benchmarks.stack import Server, Stack
from benchmarks.suite import Chart, Options, Result, Row, progress

_TIMES_CAPACITY: Final = 3
_CONNECTIONS: Final = 600
_PROBES_PER_SECOND: Final = 50
_PROBE_CONNECTIONS: Final = 50
_WARM_UP_SECONDS: Final = 1.0
_SHARE_GOAL: Final = 0.8
_HEALTH_GOAL_MILLISECONDS: Final = 100


@dataclass(frozen=True)
class _Round:
    """A round of `seconds` with as many requests as the server can serve, and one with far too many.

    `alone_cpu` and `flooded_cpu` are the CPU time of the server in seconds.
    """

    seconds: float
    alone: Load
    alone_cpu: float
    flood: Outcome
    flooded_cpu: float
    probes: Outcome

    @property
    def good_rate(self) -> float:
        """The good responses per second under overload."""
        return len(self.flood.latencies) / self.seconds


def run(stack: Stack, options: Options) -> Result:
    """Measure good responses, refusals, latencies and costs, alone and overloaded in turn."""
    # The first task of the new database has the id 1.
    user = stack.add_user("reader", tasks=1)
    read = Request("GET", "/api/v1/tasks/1", user.token)
    health = Request("GET", "/health", user.token)
    spawn = multiprocessing.get_context("spawn")
    rounds = []
    with ProcessPoolExecutor(2, mp_context=spawn) as generators, stack.api() as server:
        top_load(server.port, read, _WARM_UP_SECONDS)
        for number in range(options.rounds):
            measured = _round(generators, server, read, health, options.seconds)
            progress(
                f"overload: round {number + 1} of {options.rounds}: {measured.alone.rate:,.0f} good responses a second "
                f"alone, {measured.good_rate:,.0f} overloaded"
            )
            rounds.append(measured)
    return Result(
        tables={
            "rates": [_rate_row(rounds)],
            "outcomes": _outcome_rows(rounds),
            "latencies": [_latency_row("good responses", [each.flood for each in rounds]), _health_row(rounds)],
            "costs": [_cost_row(rounds)],
            "generator": [_generator_row(rounds)],
        },
        charts={"rates": _chart(rounds)},
    )


def _round(generators: ProcessPoolExecutor, server: Server, read: Request, health: Request, seconds: float) -> _Round:
    before = server.cpu_seconds()
    alone = top_load(server.port, read, seconds)
    between = server.cpu_seconds()
    rate = _TIMES_CAPACITY * alone.rate
    flood = generators.submit(offer, server.port, read.encode("127.0.0.1"), rate, _CONNECTIONS, seconds)
    probes = generators.submit(
        offer, server.port, health.encode("127.0.0.1"), _PROBES_PER_SECOND, _PROBE_CONNECTIONS, seconds
    )
    return _Round(seconds, alone, between - before, flood.result(), server.cpu_seconds() - between, probes.result())


def _rate_row(rounds: list[_Round]) -> Row:
    share = statistics.median(each.good_rate / each.alone.rate for each in rounds)
    return {
        "per second": "read a task",
        "good responses alone": statistics.median(each.alone.rate for each in rounds),
        "requests offered": statistics.median(_TIMES_CAPACITY * each.alone.rate for each in rounds),
        "requests sent": statistics.median(len(each.flood.lateness) / each.seconds for each in rounds),
        "good responses overloaded": statistics.median(each.good_rate for each in rounds),
        "share": share,
        "goal": at_least(share, _SHARE_GOAL),
    }


def _outcome_rows(rounds: list[_Round]) -> list[Row]:
    """Show the share of each outcome in all requests that were due."""
    counts = {"good response (200)": sum(len(each.flood.latencies) for each in rounds)}
    for name in sorted({name for each in rounds for name in each.flood.others}):
        counts[name] = sum(each.flood.others[name] for each in rounds)
    due = sum(counts.values())
    return [{"outcome": name, "requests": count, "share": count / due} for name, count in counts.items()]


def _latency_row(name: str, outcomes: list[Outcome], goal: float | None = None) -> Row:
    milliseconds = [1000 * seconds for outcome in outcomes for seconds in outcome.latencies]
    p99 = percentile(milliseconds, 99)
    return {
        "milliseconds under overload": name,
        "p50": statistics.median(milliseconds),
        "p99": p99,
        "longest": max(milliseconds),
        "goal of p99": "" if goal is None else at_most(p99, goal),
        "not good": sum(sum(outcome.others.values()) for outcome in outcomes),
    }


def _health_row(rounds: list[_Round]) -> Row:
    return _latency_row("GET /health", [each.probes for each in rounds], _HEALTH_GOAL_MILLISECONDS)


def _cost_row(rounds: list[_Round]) -> Row:
    return {
        "µs of CPU time per good response": "read a task",
        "alone": statistics.median(each.alone_cpu / each.alone.responses * 1e6 for each in rounds),
        "overloaded": statistics.median(each.flooded_cpu / len(each.flood.latencies) * 1e6 for each in rounds),
    }


def _generator_row(rounds: list[_Round]) -> Row:
    late = [1000 * seconds for each in rounds for seconds in each.flood.lateness]
    return {
        "generator": "of the overload",
        "cores used": max(each.flood.cpu_seconds / each.seconds for each in rounds),
        "p99 of how late a request was sent, in ms": percentile(late, 99),
    }


def _chart(rounds: list[_Round]) -> Chart:
    return Chart(
        "Good responses, alone and with three times as many requests",
        "per second",
        [f"round {number + 1}" for number in range(len(rounds))],
        {
            "alone": [each.alone.rate for each in rounds],
            "overloaded": [each.good_rate for each in rounds],
        },
    )
