"""Ctrl-C and SIGTERM end all processes, and the data exist at the next start."""

import signal
from pathlib import Path

import psutil

from tests.doubles.weather import WeatherServer
from tests.e2e.people import Person
from tests.e2e.system import ADMIN, System
from tests.polling import wait_until


def test_all_processes_end_and_the_data_are_kept(tmp_path: Path, weather: WeatherServer) -> None:
    first = System(tmp_path, weather)
    first.wait_until_ready()
    alice = Person(first)
    task = alice.create_task(title="Still here tomorrow")
    admin = Person(first, **ADMIN)
    wait_until(lambda: {each["kind"] for each in admin.get("/admin/operations")["processes"]} >= {"worker", "beat"}, 30)
    family = psutil.Process(first.process.pid).children(recursive=True)

    exit_code = first.stop(signal.SIGINT)

    assert exit_code == 0, first.log.read_text()
    assert [process for process in family if process.is_running() and process.status() != "zombie"] == []
    second = System(tmp_path, weather)
    try:
        second.wait_until_ready()
        alice.system = second
        # The secret key is kept as well, so the token is still valid.
        assert alice.get(f"/tasks/{task['id']}")["title"] == "Still here tomorrow"
        listed = {process["pid"] for process in Person(second, **ADMIN).get("/admin/operations")["processes"]}
        assert listed
        assert listed & {process.pid for process in family} == set()
    finally:
        assert second.stop() == 0
