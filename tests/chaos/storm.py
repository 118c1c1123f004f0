"""A storm: people go on working while parts of the system are killed, and afterwards every promise is checked."""

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final
from uuid import uuid4

import psutil
import requests
from websockets.exceptions import WebSocketException

from tests.e2e.people import Person
from tests.e2e.system import System
from tests.polling import wait_until

_CITIES: Final = ["London", "Paris", "Berlin", "Oslo", "Madrid"]
_PARTS: Final = {
    "web": "-m api",
    "worker": "worker.app worker",
    "beat": "worker.app beat",
    "redis": "redis-server",
    "postgres": "postgres",
}
_CALM_SECONDS: Final = 90


def parts_of(system: System, part: str) -> list[psutil.Process]:
    """The processes of one part of the system."""
    return [
        process
        for process in psutil.Process(system.process.pid).children(recursive=True)
        if _PARTS[part] in " ".join(process.cmdline())
    ]


def kill(system: System, part: str) -> bool:
    """Kill one part of the system the hard way; answers whether it was there to be killed."""
    victims = parts_of(system, part)
    for victim in victims:
        victim.kill()
    return bool(victims)


class Writer(threading.Thread):
    """Creates tasks without end, each asked for under one key until it is acknowledged, and notes them."""

    def __init__(self, person: Person, ending: threading.Event) -> None:
        super().__init__(name="writer")
        self._person = person
        self._ending = ending
        self.acknowledged: list[int] = []
        self.refused: Counter[str] = Counter()

    def run(self) -> None:
        """Work until told to stop."""
        while not self._ending.is_set():
            city = random.choice(_CITIES)  # noqa: S311 - no secret.
            fields = {"title": "In the storm", "city": city, "due_at": "2026-01-01T00:00:00Z"}
            headers = self._person.headers | {"Idempotency-Key": uuid4().hex}
            while (task_id := self._ask(fields, headers)) is None:
                time.sleep(0.1)
            self.acknowledged.append(task_id)

    def _ask(self, fields: dict[str, str], headers: dict[str, str]) -> int | None:
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
    """Listens for good, comes back with `since` after every interruption, and notes all it hears."""

    def __init__(self, person: Person, ending: threading.Event) -> None:
        super().__init__(name="listener")
        self._person = person
        self._ending = ending
        self._seq: int | None = None
        self.heard: list[dict[str, Any]] = []

    def run(self) -> None:
        """Listen until told to stop."""
        while not self._ending.is_set():
            try:
                with self._person.listen(self._seq) as socket:
                    while not self._ending.is_set():
                        self._note(socket.recv(timeout=0.5))
            except (WebSocketException, OSError, TimeoutError):
                time.sleep(0.1)

    def _note(self, text: str | bytes) -> None:
        frame = json.loads(text)
        assert frame["type"] != "resync_required", frame
        if frame["type"] != "ready":
            self.heard.append(frame)
        self._seq = frame["seq"]


def weather_the_storm(system: System, blows: list[str], pause: Callable[[], float]) -> Counter[str]:
    """Kill one part after the other while a writer and a listener are at work, then check every promise.

    Answers how often the writer was refused, by reason.
    """
    alice = Person(system)
    stop_writing, stop_listening = threading.Event(), threading.Event()
    writer, listener = Writer(alice, stop_writing), Listener(alice, stop_listening)
    listener.start()
    wait_until(lambda: alice.create_task(title="Before the storm") and listener.heard, 30)
    writer.start()
    try:
        for part in blows:
            time.sleep(pause())
            wait_until(lambda part=part: kill(system, part), 30)  # type: ignore[misc]  # bound at once
        time.sleep(pause())
        stop_writing.set()
        writer.join()
        _check_promises(alice, writer, listener)
    finally:
        stop_writing.set()
        stop_listening.set()
        listener.join()
    return writer.refused


def _check_promises(alice: Person, writer: Writer, listener: Listener) -> None:
    assert len(writer.acknowledged) > 10, writer.refused
    wait_until(lambda: alice.system.answers("/health/ready"), _CALM_SECONDS)

    def all_tasks() -> dict[int, dict[str, Any]]:
        found: dict[int, dict[str, Any]] = {}
        while len(page := alice.get(f"/tasks?sort=id&limit=100&skip={len(found)}")["items"]) > 0:
            found |= {task["id"]: task for task in page}
        return found

    def events(kind: str) -> Counter[int]:
        return Counter(frame["task_id"] for frame in listener.heard if frame["type"] == kind)

    # Nothing acknowledged is lost, and nothing was created twice, however often it was asked for.
    in_the_storm = {task_id for task_id, task in all_tasks().items() if task["due_at"]}
    assert Counter(writer.acknowledged) == Counter(in_the_storm)
    # The weather comes to every task that asked for it.
    wait_until(lambda: all(task["weather_status"] in {None, "ready"} for task in all_tasks().values()), _CALM_SECONDS)
    tasks = all_tasks()
    in_cities = {task_id for task_id, task in tasks.items() if task["city"]}
    wait_until(lambda: set(events("task.enriched")) >= in_cities, _CALM_SECONDS)
    # The listener has heard of everything, once, and in order.
    assert events("task.created") == Counter(tasks.keys())
    assert events("task.enriched") == Counter(in_cities)
    # Everybody who missed a deadline is told so, once.
    wait_until(lambda: set(events("task.overdue")) >= in_the_storm, _CALM_SECONDS)
    assert events("task.overdue") == Counter(in_the_storm)
    told = Counter(frame["data"]["task_id"] for frame in listener.heard if frame["type"] == "notification.created")
    assert told == Counter(in_the_storm)
    numbers = [frame["seq"] for frame in listener.heard]
    assert numbers == sorted(set(numbers))
    # The figures are exact.
    assert alice.get("/analytics")["by_status"]["todo"] == len(tasks)
