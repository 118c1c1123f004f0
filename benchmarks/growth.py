"""Measure how reading, listing, searching, counting and creating slow down with more tasks, by SQL and without HTTP."""

import statistics
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

import psycopg2

from benchmarks.figures import at_most
from benchmarks.growth_data import LARGE_USER, ORDINARY_USER, SEARCHED, load, users
from benchmarks.stack import Stack
from benchmarks.suite import Chart, Options, Result, Row, progress
from core import db
from core.db import read
from core.policy import Actor, Role
from core.services import analytics, task_lists, tasks
from core.services.task_lists import BEST_FIRST, SortKey, TaskQuery

_SIZES: Final = (10_000, 100_000, 1_000_000)
_CALLS: Final = 5
_GOAL: Final = 1.2
# Enough events that the last, partly filled page of each index makes no difference.
_CREATED_FOR_DISK: Final = 2000
_STATEMENT_SECONDS: Final = 600
_QUOTA: Final = 10**9
_JUNE: Final = (date(2026, 6, 1), date(2026, 6, 30))
_PAGE: Final = 20

_DISK: Final = """
SELECT pg_total_relation_size('tasks'), pg_total_relation_size('task_activity'),
    (SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('events'))::bigint
"""

_READ: Final = "read a task"
_CREATE: Final = "create a task"
_PAGE_BY_CURSOR: Final = "page by cursor"
_ANALYTICS: Final = "analytics"
_ANALYTICS_OF_ADMIN: Final = "admin: analytics"
_ANALYTICS_OF_LISTED_USER: Final = "admin: analytics, for each user that they list"
_WITH_GOAL: Final = (_READ, _PAGE_BY_CURSOR, _ANALYTICS, _ANALYTICS_OF_LISTED_USER)
_IN_CHART: Final = (_READ, _CREATE, _PAGE_BY_CURSOR, _ANALYTICS)

Operation = Callable[[], object]


@dataclass(frozen=True)
class _Database:
    """A database with a number of tasks, and how long it took to load them."""

    url: str
    tasks: int
    seconds: float

    def connect(self) -> None:
        """Connect this thread to it."""
        db.disconnect()
        db.configure(self.url, application="bench", statement_seconds=_STATEMENT_SECONDS)


@dataclass(frozen=True)
class _Cost:
    """The microseconds that passed, and those of PostgreSQL's process, which depend less on other programs."""

    passed: float
    used: float

    def shared_by(self, number: int) -> "_Cost":
        """Return the cost of one of so many things that were done together."""
        return _Cost(self.passed / number, self.used / number)


def run(stack: Stack, options: Options) -> Result:
    """Load all databases, and then measure them in turn.

    The time of PostgreSQL's process is without parallel workers, which only lists of admins without an index have.
    """
    databases = [_loaded(stack, options.scaled(size)) for size in _SIZES]
    taken: dict[str, list[list[_Cost]]] = {}
    for number in range(options.rounds):
        progress(f"growth: round {number + 1} of {options.rounds}")
        for index, database in enumerate(databases):
            for name, cost in _round(database).items():
                taken.setdefault(name, [[] for _ in databases])[index].append(cost)
    costs = {name: [_median(of_size) for of_size in columns] for name, columns in taken.items()}
    costs[_ANALYTICS_OF_LISTED_USER] = [
        cost.shared_by(users(database.tasks))
        for cost, database in zip(costs[_ANALYTICS_OF_ADMIN], databases, strict=True)
    ]
    sizes = [f"{database.tasks:,}" for database in databases]
    return Result(
        tables={
            "costs": [_cost_row(name, sizes, columns) for name, columns in costs.items()],
            "times": [
                {"µs that passed, by number of tasks": name}
                | dict(zip(sizes, (cost.passed for cost in columns), strict=True))
                for name, columns in costs.items()
            ],
            "per_million": _per_million(databases[-1]),
        },
        charts={
            "costs": Chart(
                "CPU time of PostgreSQL by number of tasks",
                "µs per call",
                sizes,
                {name: [cost.used for cost in costs[name]] for name in _IN_CHART},
                kind="lines",
            )
        },
    )


def _loaded(stack: Stack, size: int) -> _Database:
    progress(f"growth: loading {size:,} tasks")
    url = stack.new_database(f"tasks_{size}")
    started = time.monotonic()
    database = _Database(url, size, 0)
    database.connect()
    load(size)
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True  # PostgreSQL vacuums in no transaction.
        connection.cursor().execute("VACUUM ANALYZE")
    return _Database(url, size, time.monotonic() - started)


def _round(database: _Database) -> dict[str, _Cost]:
    """Return the median cost of each operation, on one connection."""
    database.connect()
    server = Path(f"/proc/{read('SELECT pg_backend_pid()').fetch_value()}/schedstat")
    return {name: _cost(operation, server) for name, operation in _operations(database.tasks).items()}


def _cost(operation: Operation, server: Path) -> _Cost:
    operation()
    costs = []
    for _ in range(_CALLS):
        started, used = time.perf_counter(), _nanoseconds(server)
        operation()
        costs.append(_Cost((time.perf_counter() - started) * 1e6, (_nanoseconds(server) - used) / 1e3))
    return _median(costs)


def _nanoseconds(server: Path) -> int:
    """Return how long PostgreSQL's process has run; Linux writes this into a file."""
    return int(server.read_text(encoding="ascii").split()[0])


def _median(costs: list[_Cost]) -> _Cost:
    return _Cost(statistics.median(cost.passed for cost in costs), statistics.median(cost.used for cost in costs))


def _operations(all_tasks: int) -> dict[str, Operation]:
    task_id = read("SELECT min(id) FROM tasks WHERE user_id = %s", (ORDINARY_USER,)).fetch_value()
    user = Actor(ORDINARY_USER, Role.USER, 1)
    large = Actor(LARGE_USER, Role.USER, 1)
    admin = Actor(LARGE_USER, Role.ADMIN, 1)
    return {
        _READ: lambda: tasks.read_task(user, task_id),
        _CREATE: lambda: _create(user),
        "first page, total": _list(user, TaskQuery(limit=_PAGE)),
        "first page, count=none": _list(user, TaskQuery(limit=_PAGE, counts=False)),
        _PAGE_BY_CURSOR: _list(user, _later(user, 50)),
        "search": _list(user, TaskQuery({"q": SEARCHED}, BEST_FIRST, limit=_PAGE)),
        _ANALYTICS: lambda: analytics.read_figures(user),
        "3 %: first page, total": _list(large, TaskQuery(limit=_PAGE)),
        f"3 %: {_PAGE_BY_CURSOR}": _list(large, _later(large, all_tasks * 3 // 200)),
        "3 %: filter, total": _list(large, TaskQuery({"status": ["done"]}, limit=_PAGE)),
        "3 %: sorted by title": _list(large, TaskQuery(sort=(SortKey("title"),), limit=_PAGE, counts=False)),
        "3 %: search": _list(large, TaskQuery({"q": SEARCHED}, BEST_FIRST, limit=_PAGE)),
        f"3 %: {_ANALYTICS}": lambda: analytics.read_figures(large),
        f"3 %: {_ANALYTICS} of 30 days": lambda: analytics.read_figures(large, *_JUNE),
        "admin: first page, total": _list(admin, TaskQuery(limit=_PAGE)),
        f"admin: {_PAGE_BY_CURSOR}": _list(admin, _later(admin, all_tasks // 2)),
        "admin: search": _list(admin, TaskQuery({"q": SEARCHED}, BEST_FIRST, limit=_PAGE)),
        "admin: sorted by title": _list(admin, TaskQuery(sort=(SortKey("title"),), limit=_PAGE, counts=False)),
        _ANALYTICS_OF_ADMIN: lambda: analytics.read_figures(admin),
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


def _cost_row(name: str, sizes: list[str], columns: list[_Cost]) -> Row:
    growth = columns[-1].used / columns[0].used
    row: Row = {"µs of PostgreSQL, by number of tasks": name}
    row |= dict(zip(sizes, (cost.used for cost in columns), strict=True))
    # An admin's analytics name every user who has tasks, so their goal is about one of these users.
    has_goal = name != _ANALYTICS_OF_ADMIN and name.endswith(_WITH_GOAL)
    return row | {"growth": growth, "goal": at_most(growth, _GOAL) if has_goal else ""}


def _per_million(database: _Database) -> list[Row]:
    """Show the seconds to load a million tasks, and the size of a million tasks, events and history entries."""
    database.connect()
    tasks_before, history_before, events_before = read(_DISK).fetch_exactly_one()
    for _ in range(_CREATED_FOR_DISK):
        _create(Actor(ORDINARY_USER, Role.USER, 1))
    _, history, events = read(_DISK).fetch_exactly_one()
    figures = {
        "seconds to load tasks by SQL": database.seconds / database.tasks * 1e6,
        "MB of tasks with their indexes": tasks_before / database.tasks,
        "MB of events with their indexes": (events - events_before) / _CREATED_FOR_DISK,
        "MB of history with its indexes": (history - history_before) / _CREATED_FOR_DISK,
    }
    return [
        {"a million of them": name, f"measured at {database.tasks:,} tasks": value} for name, value in figures.items()
    ]
