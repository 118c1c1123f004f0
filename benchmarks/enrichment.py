"""Measure how fast tasks get their weather from a provider that takes 50 ms for each call, and with how many calls."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import requests
from celery import Celery
from psycopg2.extensions import cursor
from redis import Redis

from benchmarks.figures import at_most
from benchmarks.stack import KEY, Stack, cpu_seconds, free_port, server
from benchmarks.suite import Options, Result, Row, progress
from core import db, jobs, services
from core.config import Settings
from core.db import read, unit_of_work, write
from core.jobs import JobContext, Work
from core.services import forecast_refresh, tasks, weather
from core.smtp import SmtpServer
from core.storage import storage_for
from core.weather import provider_for
from worker.links import links_into

_DELAY_SECONDS: Final = 0.05
_CITIES: Final = 1000
_TASKS_REFRESHED: Final = 100_000
_GOAL: Final = 5.0
# Its latitude is that number of hundredths of a degree.
_ONE_CITY: Final = 8000
_LONGEST_SECONDS: Final = 120
_QUOTA: Final = 10**9

_CALLS: Final = {"searches": "/v1/search", "forecast calls": "/v1/forecast"}

_PENDING: Final = "SELECT EXISTS (SELECT FROM tasks WHERE weather_status = 'pending')"

_ADD_TASKS: Final = """
INSERT INTO tasks (title, user_id, city, city_key, place_id, weather_status, due_at)
SELECT 'Task ' || number, %(user_id)s, p.name, lower(p.name), p.id, 'ready',
       now() + make_interval(hours => 5 + number %% 240)
FROM generate_series(1, %(tasks)s) number
JOIN places p ON round(p.latitude * 100) = number %% %(cities)s
"""

_TOLD: Final = "SELECT count(*) FROM events WHERE type = 'task.forecast_changed'"

_AGE: Final = """
UPDATE forecasts SET fetched_at = fetched_at - interval '1 day', acted_on_at = fetched_at - interval '1 day',
    refresh_at = now()
"""


def run(stack: Stack, options: Options) -> Result:
    """Measure new tasks with a worker of four processes; then the statements, and the refresh, with one process."""
    services.import_all()
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.weather_server", "--port", str(port), "--delay", str(_DELAY_SECONDS)]
    with server(command, port, {}):
        measured = _Enrichment(stack, f"http://127.0.0.1:{port}", options.scaled(_CITIES))
        return Result(
            tables={
                "new": measured.new_tasks(),
                "one_process": measured.one_process(),
                "refreshed": measured.refreshed(options.scaled(_TASKS_REFRESHED)),
            }
        )


class _Enrichment:
    """The measurements, with one weather server."""

    def __init__(self, stack: Stack, url: str, cities: int) -> None:
        self._stack = stack
        self._url = url
        self._cities = cities
        self._user = stack.add_user("gardener")
        self._environ = {
            "OPEN_METEO_URL": url,
            "OPEN_METEO_GEOCODING_URL": url,
            "WEATHER_CALLS_PER_DAY": "100000000",
            "WEATHER_NEW_PLACES_PER_USER_PER_DAY": "100000000",
        }

    def new_tasks(self) -> list[Row]:
        """Measure from the commit of new tasks until the last of them has its weather."""
        rows = []
        with self._stack.worker(**self._environ) as worker:
            for name, numbers in self._scenarios(range(self._cities), _ONE_CITY):
                progress(f"enrichment: {name}, four processes")
                used = self._cpu_seconds(worker)
                row = self._measured(numbers, self._wait_for_worker)
                row["CPU seconds"] = self._cpu_seconds(worker) - used
                rows.append({"four processes": name} | row | {"goal": at_most(row["seconds"], _GOAL)})
        return rows

    def one_process(self) -> list[Row]:
        """Measure the same with other cities in this process, which counts its statements."""
        rows: list[Row] = []
        for name, numbers in self._scenarios(range(self._cities, 2 * self._cities), _ONE_CITY + 1):
            progress(f"enrichment: {name}, one process")
            rows.append({"one process": name} | self._measured(numbers, lambda: self._repeat(weather.enrich)))
        return rows

    def refreshed(self, tasks_there: int) -> list[Row]:
        """Measure the refresh of cities with many tasks: at first, without a change, and with rain in a tenth."""
        with unit_of_work():
            parameters = {"user_id": self._user.actor.user_id, "tasks": tasks_there, "cities": self._cities}
            write(_ADD_TASKS, parameters)
        with unit_of_work():
            write("ANALYZE tasks")
        rows: list[Row] = []
        for name in ("the first time", "nothing changes", "rain in a tenth of the cities"):
            progress(f"enrichment: {tasks_there:,} tasks refreshed, {name}")
            if name.startswith("rain"):
                requests.get(f"{self._url}/worse", timeout=_LONGEST_SECONDS)
            with unit_of_work():
                write(_AGE)
            told = read(_TOLD).fetch_value()
            row = self._with_calls(lambda: self._repeat(forecast_refresh.refresh))
            row |= {"events": float(read(_TOLD).fetch_value() - told)}
            rows.append({f"{tasks_there:,} tasks in {self._cities:,} cities": name} | row)
        return rows

    def _scenarios(self, cities: range, one_city: int) -> list[tuple[str, list[int]]]:
        count = f"{self._cities:,}"
        return [
            (f"{count} new cities", list(cities)),
            (f"{count} tasks of one new city", [one_city] * self._cities),
        ]

    def _measured(self, numbers: list[int], enrich: Callable[[], dict[str, float]]) -> dict[str, float]:
        with unit_of_work():
            for number in numbers:
                tasks.create_task(self._user.actor, {"title": "Prune", "city": f"City {number}"}, _QUOTA)
        return self._with_calls(enrich)

    def _cpu_seconds(self, worker: int) -> float:
        """Return what the worker and PostgreSQL have used, which suffers less from other programs than the time."""
        return cpu_seconds(worker) + self._stack.database_cpu_seconds()

    def _wait_for_worker(self) -> dict[str, float]:
        Celery(broker=self._stack.redis_url).send_task(jobs.EVENTS_PUBLISH.name, queue=jobs.QUEUE_EVENTS)
        deadline = time.monotonic() + _LONGEST_SECONDS
        while read(_PENDING).fetch_value():
            if time.monotonic() > deadline:
                raise RuntimeError("Some tasks still wait for their weather.")
            time.sleep(0.02)
        return {}

    def _repeat(self, job: Work[()]) -> dict[str, float]:
        """Do a job until it finds nothing to do; returns how many statements this took."""
        context = self._context()
        with _statements() as sent:
            while job(context):
                pass
        return {"statements": float(len(sent))}

    def _with_calls(self, work: Callable[[], dict[str, float]]) -> dict[str, float]:
        before, started = self._counts(), time.monotonic()
        figures = work()
        seconds, after = time.monotonic() - started, self._counts()
        calls = {name: after.get(path, 0) - before.get(path, 0) for name, path in _CALLS.items()}
        return {"seconds": seconds} | calls | figures

    def _counts(self) -> dict[str, float]:
        counts: dict[str, float] = requests.get(f"{self._url}/counts", timeout=_LONGEST_SECONDS).json()
        return counts

    def _context(self) -> JobContext:
        environ = {"SECRET_KEY": KEY, "DATABASE_URL": self._stack.database_url, "REDIS_URL": self._stack.redis_url}
        settings = Settings.from_environ(environ | self._environ)
        return JobContext(
            settings=settings,
            redis=Redis.from_url(self._stack.redis_url),
            weather=provider_for(settings),
            storage=storage_for(settings),
            mail_server=SmtpServer(settings),
            mail_links=links_into(settings),
            dispatch=lambda _request: None,
            queue_length=lambda _queue: 0,
        )


@contextmanager
def _statements() -> Iterator[list[None]]:
    """Collect one item for each statement that this thread sends."""
    sent: list[None] = []

    class Counter(cursor):
        def execute(self, query: Any, parameters: Any = None) -> Any:
            sent.append(None)
            return super().execute(query, parameters)

    with db.connected():
        connection = db.database.connection()  # type: ignore[no-untyped-call]  # peewee leaves it untyped.
        connection.cursor_factory = Counter
        try:
            yield sent
        finally:
            connection.cursor_factory = None
