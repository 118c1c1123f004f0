"""The whole system on Redis Sentinel, started by `make chaos`: every process survives the death of the primary."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from websockets.sync.client import ClientConnection

from core import jobs
from tests.chaos.storm import parts_of
from tests.doubles.weather import WeatherServer
from tests.e2e.people import Person
from tests.e2e.system import System
from tests.polling import wait_until
from tests.redis_sentinels import Replicated, replicated

ALL_PROCESSES = ("web", "worker", "beat")


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Replicated]:
    (tmp_path / "redis").mkdir()
    with replicated(tmp_path / "redis") as running:
        yield running


@pytest.fixture
def system(tmp_path: Path, servers: Replicated, weather: WeatherServer) -> Iterator[System]:
    (tmp_path / "data").mkdir()
    running = System(tmp_path / "data", weather, redis_url=servers.url)
    try:
        running.wait_until_ready()
        yield running
    finally:
        if running.process.poll() is None:
            running.stop()


@pytest.mark.chaos
def test_every_process_works_with_the_new_primary(system: System, servers: Replicated) -> None:
    alice = Person(system)
    with alice.listen() as listener:
        first = alice.create_task(title="Before the failover", city="London")
        wait_for(listener, "task.enriched", first["id"])
        processes = numbers_of_processes(system)

        servers.kill_primary()
        second = alice.create_task(title="After the failover", city="Paris")
        wait_for(listener, "task.enriched", second["id"])
        # Only beat sends the job of a reminder.
        alice.post(f"/tasks/{second['id']}/reminders", remind_at="2026-01-01T00:00:00Z")
        wait_for(listener, "task.reminder", second["id"])

    wait_until(lambda: requests.get(f"{system.url}/health/ready", timeout=5).json()["status"] == "ok")
    assert numbers_of_processes(system) == processes
    wait_until(lambda: flower_lists_a_new_job(alice), 60)
    # Flower lists no queue if it cannot reach the primary.
    assert queues_in_flower(system) & jobs.QUEUES
    with servers.server(servers.replica_port) as primary:
        assert list(primary.scan_iter("allweather:limit*"))


def numbers_of_processes(system: System) -> list[list[int]]:
    return [[process.pid for process in parts_of(system, part)][:1] for part in ALL_PROCESSES]


def flower_lists_a_new_job(person: Person) -> bool:
    """Cause a job, and return whether Flower has heard of it or of an earlier one since the last call."""
    before = jobs_in_flower(person.system)
    task = person.create_task(title="Seen in Flower")
    with person.listen(since=0) as listener:
        wait_for(listener, "task.created", task["id"])
    return jobs_in_flower(person.system) > before


def jobs_in_flower(system: System) -> int:
    query = {"draw": 1, "start": 0, "length": 1, "order[0][column]": 0, "columns[0][data]": "name"}
    page = requests.get(f"{system.flower_url}/tasks/datatable", params=query, timeout=10).json()
    return int(page["recordsTotal"])


def queues_in_flower(system: System) -> set[str]:
    page = requests.get(f"{system.flower_url}/broker", timeout=10).text
    return set(re.findall(r'<tr id="([^"]+)">', page))


def wait_for(listener: ClientConnection, event: str, task_id: int) -> None:
    """Receive frames until this event of the task arrives."""
    frame: dict[str, Any] = {}
    while (frame.get("type"), frame.get("task_id")) != (event, task_id):
        frame = json.loads(listener.recv(timeout=60))
