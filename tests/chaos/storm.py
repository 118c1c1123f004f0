"""A load test with failures: clients work while parts of the system are killed; then every guarantee is checked."""

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import psutil
import requests
from websockets.exceptions import WebSocketException

from core.local.embedded.servers import redis_program
from tests.e2e.people import Person
from tests.e2e.system import System
from tests.polling import wait_until

_CITIES: Final = ["London", "Paris", "Berlin", "Oslo", "Madrid"]
_PARTS: Final = {
    "web": "-m api",
    "worker": "worker.app worker",
    "beat": "worker.app beat",
    "redis": Path(redis_program()).name,
    "postgres": "postgres",
}
_RECOVERY_SECONDS: Final = 90


def parts_of(system: System, part: str) -> list[psutil.Process]:
    """Return the processes of one part of the system."""
    return [
        process
        for process in psutil.Process(system.process.pid).children(recursive=True)
        if _PARTS[part] in _command_line(process)
    ]


def _command_line(process: psutil.Process) -> str:
    """Return the command line of a process; it is empty if the process has ended since it was listed."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def kill(system: System, part: str) -> bool:
    """Kill one part of the system with SIGKILL; return whether it was running."""
    victims = parts_of(system, part)
    for victim in victims:
        victim.kill()
    return bool(victims)


class Writer(threading.Thread):
    """Creates tasks until stopped, repeats each request with the same key until it succeeds, and keeps the ids."""

    def __init__(self, person: Person, ending: threading.Event) -> None:
        super().__init__(name="writer")
        self._person = person
        self._ending = ending
        self.acknowledged: list[int] = []
        self.refused: Counter[str] = Counter()

    def run(self) -> None:
        """Create tasks until the event `ending` is set."""
        while not self._ending.is_set():
            city = random.choice(_CITIES)  # noqa: S311 - not a secret.
            fields = {"title": "In the storm", "city": city, "due_at": "2026-01-01T00:00:00Z"}
            headers = self._person.headers | {"Idempotency-Key": uuid4().hex}
            while (task_id := self._try_to_create(fields, headers)) is None:
                time.sleep(0.1)
            self.acknowledged.append(task_id)

    def _try_to_create(self, fields: dict[str, str], headers: dict[str, str]) -> int | None:
        url = f"{self._person.system.url}/api/v1/tasks"
        try:
            response = requests.post(url, json=fields, headers=headers, timeout=15)
        except requests.RequestException as error:
            self.refused[type(error).__name__] += 1
            return None
        if response.status_code == requests.codes.created:
            task_id: int = response.json()["id"]
            return task_id
        assert response.headers["Content-Type"] == "application/problem+json", response.text
        self.refused[response.json()["code"]] += 1
        return None


class Listener(threading.Thread):
    """Listens until stopped, reconnects with `since` after every interruption, and keeps all received events."""

    def __init__(self, person: Person, ending: threading.Event) -> None:
        super().__init__(name="listener")
        self._person = person
        self._ending = ending
        self._seq: int | None = None
        self.received: list[dict[str, Any]] = []

    def run(self) -> None:
        """Listen until the event `ending` is set."""
        while not self._ending.is_set():
            try:
                with self._person.listen(self._seq) as socket:
                    while not self._ending.is_set():
                        self._store(socket.recv(timeout=0.5))
            except (WebSocketException, OSError, TimeoutError):
                time.sleep(0.1)

    def _store(self, text: str | bytes) -> None:
        frame = json.loads(text)
        assert frame["type"] != "resync_required", frame
        if frame["type"] != "ready":
            self.received.append(frame)
        self._seq = frame["seq"]


def kill_parts_under_load(system: System, kills: list[str], pause: Callable[[], float]) -> Counter[str]:
    """Kill one part after the other while a writer and a listener are at work, then check every guarantee.

    Return how often the requests of the writer failed, by reason.
    """
    alice = Person(system)
    stop_writing, stop_listening = threading.Event(), threading.Event()
    writer, listener = Writer(alice, stop_writing), Listener(alice, stop_listening)
    listener.start()
    wait_until(lambda: alice.create_task(title="Before the storm") and listener.received, 30)
    writer.start()
    try:
        for part in kills:
            time.sleep(pause())
            wait_until(lambda part=part: kill(system, part), 30)  # type: ignore[misc]  # bound by default
        time.sleep(pause())
        stop_writing.set()
        writer.join()
        _check_guarantees(alice, writer, listener)
    finally:
        stop_writing.set()
        stop_listening.set()
        listener.join()
    return writer.refused


def _check_guarantees(alice: Person, writer: Writer, listener: Listener) -> None:
    assert len(writer.acknowledged) > 10, writer.refused
    wait_until(lambda: alice.system.returns_ok("/health/ready"), _RECOVERY_SECONDS)

    def all_tasks() -> dict[int, dict[str, Any]]:
        found: dict[int, dict[str, Any]] = {}
        while len(page := alice.get(f"/tasks?sort=id&limit=100&skip={len(found)}")["items"]) > 0:
            found |= {task["id"]: task for task in page}
        return found

    def events(kind: str) -> Counter[int]:
        return Counter(frame["task_id"] for frame in listener.received if frame["type"] == kind)

    def notified() -> Counter[int]:
        frames = (frame for frame in listener.received if frame["type"] == "notification.created")
        return Counter(frame["data"]["task_id"] for frame in frames)

    # Every acknowledged task exists, and no task was created twice, although requests were repeated.
    in_the_storm = {task_id for task_id, task in all_tasks().items() if task["due_at"]}
    assert Counter(writer.acknowledged) == Counter(in_the_storm)
    # Every task with a city gets its weather.
    wait_until(
        lambda: all(task["weather_status"] in {None, "ready"} for task in all_tasks().values()), _RECOVERY_SECONDS
    )
    tasks = all_tasks()
    in_cities = {task_id for task_id, task in tasks.items() if task["city"]}
    wait_until(lambda: set(events("task.enriched")) >= in_cities, _RECOVERY_SECONDS)
    # The listener has received every event once and in order.
    assert events("task.created") == Counter(tasks.keys())
    assert events("task.enriched") == Counter(in_cities)
    # Each missed deadline causes one event and one notification.
    wait_until(lambda: set(events("task.overdue")) >= in_the_storm, _RECOVERY_SECONDS)
    assert events("task.overdue") == Counter(in_the_storm)
    wait_until(lambda: set(notified()) >= in_the_storm, _RECOVERY_SECONDS)
    assert notified() == Counter(in_the_storm)
    numbers = [frame["seq"] for frame in listener.received]
    assert numbers == sorted(set(numbers))
    # The analytics are exact.
    assert alice.get("/analytics")["by_status"]["todo"] == len(tasks)
