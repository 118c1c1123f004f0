"""Ctrl-C ends all processes, and the data exist at the next start. At its end, the fixture stops it with SIGTERM."""

import signal

import psutil

from tests.e2e.people import Person
from tests.e2e.system import ADMIN, System
from tests.polling import wait_until


def test_all_processes_end_and_the_data_are_kept(system: System) -> None:
    alice = Person(system)
    task = alice.create_task(title="Still here tomorrow")
    admin = Person(system, **ADMIN)
    wait_until(lambda: {each["kind"] for each in admin.get("/admin/operations")["processes"]} >= {"worker", "beat"}, 30)
    family = psutil.Process(system.process.pid).children(recursive=True)

    exit_code = system.stop(signal.SIGINT)
    left = [process for process in family if process.is_running() and process.status() != "zombie"]
    # The tests that follow need the system.
    system.start()
    system.wait_until_ready()

    assert exit_code == 0, system.log.read_text()
    assert left == []
    # The secret key is kept as well, so the token is still valid.
    assert alice.get(f"/tasks/{task['id']}")["title"] == "Still here tomorrow"
    listed = {process["pid"] for process in Person(system, **ADMIN).get("/admin/operations")["processes"]}
    assert listed
    assert listed & {process.pid for process in family} == set()
