"""Measure the rates of 1, 2 and 4 web processes behind one port, which share the cores with everything else."""

import statistics
from contextlib import ExitStack
from typing import Final

from benchmarks.compare import CREATE
from benchmarks.load import Request
from benchmarks.rounds import Samples, measure
from benchmarks.stack import Stack
from benchmarks.suite import Chart, Options, Result, Row

_COUNTS: Final = {"1 process": 1, "2 processes": 2, "4 processes": 4}
_NO_QUOTA: Final = "100000000"


def run(stack: Stack, options: Options) -> Result:
    """Measure reading and creating a task, with all servers running all the time."""
    # The first task of the new database has the id 1. With so few tasks that they fit into one page, PostgreSQL would
    # plan to read all of them for each check of a foreign key, and keep this plan for a minute while they grow.
    user = stack.add_user("reader", tasks=1000)
    requests = {
        "read a task": Request("GET", "/api/v1/tasks/1", user.token),
        "create a task": Request("POST", "/api/v1/tasks", user.token, CREATE),
    }
    with ExitStack() as running:
        servers = {
            name: running.enter_context(stack.api(WEB_CONCURRENCY=str(count), TASKS_PER_USER=_NO_QUOTA))
            for name, count in _COUNTS.items()
        }
        samples = {
            case: measure(stack, servers, dict.fromkeys(servers, request), f"processes: {case}", options)
            for case, request in requests.items()
        }
    rates = {case: {name: of_count.rate for name, of_count in by_count.items()} for case, by_count in samples.items()}
    return Result(
        tables={
            "rates": [{"requests per second": case} | by_count for case, by_count in rates.items()],
            "costs": [_cost_row(case, by_count) for case, by_count in samples.items()],
            "generator": [_generator_row(case, by_count) for case, by_count in samples.items()],
        },
        charts={
            "rates": Chart(
                "Top load by number of web processes",
                "requests per second",
                list(_COUNTS),
                {case: list(by_count.values()) for case, by_count in rates.items()},
            )
        },
    )


def _cost_row(case: str, samples: dict[str, Samples]) -> Row:
    row: Row = {"µs of CPU time per request": case}
    for name, of_count in samples.items():
        row[name] = statistics.median(of_count.web_costs)
        row[f"PostgreSQL for {name}"] = statistics.median(of_count.database_costs)
    return row


def _generator_row(case: str, samples: dict[str, Samples]) -> Row:
    row: Row = {"cores used by the generator": case}
    return row | {name: of_count.generator_share for name, of_count in samples.items()}
