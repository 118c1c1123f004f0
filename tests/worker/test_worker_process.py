"""A real worker process: its child process is killed during a job, and one user has much more work than another."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
import psutil
import pytest
from redis import Redis

from core import jobs
from core.log_context import bound_to_log
from core.policy import Actor
from core.services.place_weather import CALLS_SIDE_BY_SIDE
from tests.builders import create_task
from tests.doubles.weather import Handler, WeatherServer
from tests.polling import wait_until
from tests.sql import execute

PROJECT = Path(__file__).resolve().parents[2]
ATTEMPTS = 3
CITIES = 300
# The cities of the job that is under way, and those that are searched together with the city of the other user.
CALLS_BEFORE_ANOTHER_USER = 2 * CALLS_SIDE_BY_SIDE


@pytest.fixture
def log_file(tmp_path: Path) -> Path:
    return tmp_path / "app.log"


@pytest.fixture
def running(environ: dict[str, str], weather: WeatherServer, log_file: Path) -> Iterator[psutil.Process]:
    """A worker with one child process, which uses the weather test server and gives up after a few attempts."""
    queues = ",".join((jobs.QUEUE_EVENTS, jobs.QUEUE_WEATHER, jobs.QUEUE_MAINTENANCE))
    variables = {
        "OPEN_METEO_URL": weather.url,
        "OPEN_METEO_GEOCODING_URL": weather.url,
        "WEATHER_ATTEMPTS": str(ATTEMPTS),
        "LOG_FILE": str(log_file),
    }
    command = f"--quiet --app worker.app worker --concurrency 1 --queues {queues} --without-gossip --without-mingle"
    process = subprocess.Popen(  # noqa: S603 - the command is our own.
        [sys.executable, "-m", "celery", *command.split()],
        cwd=PROJECT,
        env=os.environ | environ | variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
    )
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(30)


def weather_status(task_id: int) -> str:
    (status,) = execute("SELECT weather_status FROM tasks WHERE id = %s", (task_id,)).fetchone()
    return str(status)


def ask_to_publish() -> None:
    from worker.app import app  # noqa: PLC0415 - the module reads the environment.

    app.send_task(jobs.EVENTS_PUBLISH.name)


def kill_child_of(worker: psutil.Process) -> None:
    (child,) = worker.children()
    child.kill()


def test_a_job_whose_process_is_killed_is_done_by_the_next_process(
    alice: Actor, running: psutil.Process, weather: WeatherServer, log_file: Path, redis: Redis
) -> None:
    def kill_once(_handler: Handler) -> None:
        weather.misbehave = None
        kill_child_of(running)

    weather.misbehave = kill_once
    with bound_to_log(request_id="the-request"):
        task_id = create_task(alice, city="London")
    ask_to_publish()
    wait_until(lambda: weather.misbehave is None, 30)
    wait_until(lambda: weather_status(task_id) == "ready", 30)

    def kinds_in_stream() -> list[bytes]:
        return [fields[b"type"] for _, fields in redis.xrange("allweather:events")]

    wait_until(lambda: kinds_in_stream() == [b"task.created", b"task.enriched"], 30)
    lines = [orjson.loads(line) for line in log_file.read_text().splitlines()]
    assert {line["job"] for line in lines if line.get("request_id") == "the-request"} == {jobs.WEATHER_ENRICH.name}


def test_a_job_that_kills_its_process_at_every_attempt_is_given_up(
    alice: Actor, running: psutil.Process, weather: WeatherServer
) -> None:
    kills: list[str] = []

    def kill(handler: Handler) -> None:
        kills.append(handler.path)
        kill_child_of(running)

    weather.misbehave = kill
    task_id = create_task(alice, city="London")
    ask_to_publish()
    wait_until(lambda: weather_status(task_id) == "unavailable", 60)
    assert len(kills) == ATTEMPTS


def test_the_weather_of_one_user_does_not_wait_behind_the_many_cities_of_another(
    alice: Actor, bob: Actor, running: psutil.Process, weather: WeatherServer
) -> None:
    """Counted in requests to the provider; each unknown city is one request."""

    def searched() -> list[str]:
        return [query["name"] for query in weather.queries if "name" in query]

    weather.delay = 0.03
    for number in range(CITIES):
        create_task(alice, city=f"Nowhere {number}")
    ask_to_publish()
    wait_until(lambda: len(searched()) > 0, 30)

    task_id = create_task(bob, city="London")
    before = len(searched())
    ask_to_publish()
    wait_until(lambda: weather_status(task_id) == "ready", 60)

    assert searched().index("London") - before < CALLS_BEFORE_ANOTHER_USER
    assert len(searched()) < CITIES
