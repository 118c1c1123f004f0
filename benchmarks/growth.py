"""Measure how reading, listing, searching, counting and creating slow down with more tasks. See README.md here."""

import argparse
import json
import logging
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog

from benchmarks.growth_data import LARGE_USER, ORDINARY_USER, SEARCHED, load
from core import db
from core.db import read
from core.local.embedded.servers import EmbeddedPostgres
from core.migrations import migrate
from core.policy import Actor, Role
from core.services import analytics, task_lists, tasks
from core.services.task_lists import BEST_FIRST, SortKey, TaskQuery

SIZES: Final = (10_000, 100_000, 1_000_000)
ROUNDS: Final = 7
CALLS: Final = 10
# Enough events that the last, partly filled page of each index makes no difference.
CREATED_FOR_DISK: Final = 2000
_QUOTA: Final = 10**9
_PAGE: Final = 20

_DISK: Final = """
SELECT pg_total_relation_size('tasks'), pg_total_relation_size('task_activity'), coalesce(
    (SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('events')), pg_total_relation_size('events')
)::bigint
"""

Operation = Callable[[], object]
Cost = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A database with a number of tasks, and how long it took to load them."""

    url: str
    tasks: int
    seconds: float


def main() -> None:
    """Load the databases, measure them in turn, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, nargs="+", default=SIZES, help="how many tasks each database has")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", type=Path, help="a file for the results")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))

    results = measure(options.tasks, options.rounds)
    _print(results)
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=2), encoding="utf-8")


def measure(sizes: list[int], rounds: int) -> dict[str, Any]:
    """Return the medians of each operation at each size, and the cost of a million tasks and events.

    A median is a pair: microseconds that passed, and microseconds of PostgreSQL's process. The second depends less on
    what else the machine does. It is without parallel workers, which only lists of admins without an index have. All
    databases are loaded first and then measured in turn.
    """
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="allweather-bench-")))
        databases = [_loaded(stack, directory, size) for size in sizes]
        taken: dict[str, list[list[Cost]]] = {}
        for number in range(rounds):
            print(f"round {number + 1} of {rounds}", flush=True)
            for index, database in enumerate(databases):
                for name, cost in _round(database).items():
                    taken.setdefault(name, [[] for _ in sizes])[index].append(cost)
        return {
            "tasks": sizes,
            "microseconds": {name: [_medians(costs) for costs in columns] for name, columns in taken.items()},
            "per_million": _per_million(databases[-1]),
        }


def _loaded(stack: ExitStack, directory: Path, size: int) -> Loaded:
    print(f"loading {size:,} tasks", flush=True)
    postgres = stack.enter_context(EmbeddedPostgres(directory / f"postgres-{size}"))
    migrate(postgres.url)
    started = time.monotonic()
    load(postgres.url, size)
    return Loaded(postgres.url, size, time.monotonic() - started)


def _connect(database: Loaded) -> None:
    db.disconnect()
    db.configure(database.url, application="bench", statement_seconds=120)


def _round(database: Loaded) -> dict[str, Cost]:
    """Return the median cost of each operation, on one connection."""
    _connect(database)
    server = Path(f"/proc/{read('SELECT pg_backend_pid()').fetch_value()}/schedstat")
    return {name: _cost(operation, server) for name, operation in _operations(database.tasks).items()}


def _cost(operation: Operation, server: Path) -> Cost:
    operation()
    costs = []
    for _ in range(CALLS):
        started, used = time.perf_counter(), _nanoseconds(server)
        operation()
        costs.append(((time.perf_counter() - started) * 1e6, (_nanoseconds(server) - used) / 1e3))
    return _medians(costs)


def _nanoseconds(server: Path) -> int:
    """Return how long PostgreSQL's process has run; Linux writes this into a file."""
    return int(server.read_text(encoding="ascii").split()[0])


def _medians(costs: list[Cost]) -> Cost:
    passed, used = zip(*costs, strict=True)
    return statistics.median(passed), statistics.median(used)


def _operations(all_tasks: int) -> dict[str, Operation]:
    task_id = read("SELECT min(id) FROM tasks WHERE user_id = %s", (ORDINARY_USER,)).fetch_value()
    user = Actor(ORDINARY_USER, Role.USER, 1)
    large = Actor(LARGE_USER, Role.USER, 1)
    admin = Actor(LARGE_USER, Role.ADMIN, 1)
    return {
        "read a task": lambda: tasks.read_task(user, task_id),
        "create a task": lambda: _create(user),
        "first page, total": _list(user, TaskQuery(limit=_PAGE)),
        "first page, count=none": _list(user, TaskQuery(limit=_PAGE, counts=False)),
        "page by cursor": _list(user, _later(user, 50)),
        "search": _list(user, TaskQuery({"q": SEARCHED}, BEST_FIRST, limit=_PAGE)),
        "analytics": lambda: analytics.read_figures(user),
        "3 %: first page, total": _list(large, TaskQuery(limit=_PAGE)),
        "3 %: page by cursor": _list(large, _later(large, all_tasks * 3 // 200)),
        "3 %: filter, total": _list(large, TaskQuery({"status": ["done"]}, limit=_PAGE)),
        "3 %: sorted by title": _list(large, TaskQuery(sort=(SortKey("title"),), limit=_PAGE, counts=False)),
        "3 %: search": _list(large, TaskQuery({"q": SEARCHED}, BEST_FIRST, limit=_PAGE)),
        "3 %: analytics": lambda: analytics.read_figures(large),
        "admin: first page, total": _list(admin, TaskQuery(limit=_PAGE)),
        "admin: page by cursor": _list(admin, _later(admin, all_tasks // 2)),
        "admin: search": _list(admin, TaskQuery({"q": SEARCHED}, BEST_FIRST, limit=_PAGE)),
        "admin: sorted by title": _list(admin, TaskQuery(sort=(SortKey("title"),), limit=_PAGE, counts=False)),
        "admin: analytics": lambda: analytics.read_figures(admin),
    }


def _create(user: Actor) -> object:
    fields = {"title": "Clean the gutters", "description": "Before the rain comes."}
    return tasks.create_task(user, fields, _QUOTA)


def _list(actor: Actor, query: TaskQuery) -> Operation:
    return lambda: task_lists.list_tasks(actor, query)


def _later(actor: Actor, skip: int) -> TaskQuery:
    """Return the query of the page that begins after `skip` tasks, by its cursor."""
    before = task_lists.list_tasks(actor, TaskQuery(skip=skip - 1, limit=1, counts=False))
    return TaskQuery(limit=_PAGE, cursor=before.next_cursor, counts=False)


def _per_million(database: Loaded) -> dict[str, float]:
    """Return the seconds to load a million tasks, and the megabytes of a million tasks, events and history entries."""
    _connect(database)
    tasks_before, history_before, events_before = read(_DISK).fetch_exactly_one()
    for _ in range(CREATED_FOR_DISK):
        _create(Actor(ORDINARY_USER, Role.USER, 1))
    _, history, events = read(_DISK).fetch_exactly_one()
    return {
        "seconds to load tasks by SQL": database.seconds / database.tasks * 1e6,
        "MB of tasks with their indexes": tasks_before / database.tasks,
        "MB of events": (events - events_before) / CREATED_FOR_DISK,
        "MB of history": (history - history_before) / CREATED_FOR_DISK,
    }


def _print(results: dict[str, Any]) -> None:
    print("\nMicroseconds that passed, and of PostgreSQL's process; its growth from the first to the last column")
    print(f"{'tasks':28}" + "".join(f"{size:>20,}" for size in results["tasks"]) + f"{'growth':>10}")
    for name, costs in results["microseconds"].items():
        columns = "".join(f"{passed:11,.0f}{used:9,.0f}" for passed, used in costs)
        print(f"{name:28}{columns}{costs[-1][1] / costs[0][1]:9.2f}x")
    print("\nA million takes")
    for name, value in results["per_million"].items():
        print(f"{name:34}{value:8,.0f}")


if __name__ == "__main__":
    main()
