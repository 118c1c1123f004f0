"""Counts what this process does, in memory: requests, jobs and other things, with the classes of their durations.

Counting must cost next to nothing, because every request does it. Nothing is written here: every few seconds a thread
takes the counts and writes all of them together (see `core.heartbeat`).
"""

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

ActivityKind = Literal["request", "job", "count"]

CLASSES_MS: Final = (
    *(1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700),
    *(1000, 1500, 2000, 3000, 5000, 7000, 10_000, 15_000, 20_000, 30_000),
)
"""The longest duration of each class, in milliseconds; one more class has all that take longer."""

RATE_LIMITED: Final = "requests over a rate limit"
OVERLOADED: Final = "requests refused by an overloaded process"
EVICTED: Final = "sockets closed as too slow"
PUBLISHED: Final = "events published"


@dataclass(slots=True)
class Tally:
    """How often something happened, how often it was refused or failed, and how many cases each class has."""

    number: int = 0
    refused: int = 0
    failed: int = 0
    classes: list[int] = field(default_factory=lambda: [0] * (len(CLASSES_MS) + 1))

    def add(self, other: "Tally") -> None:
        """Add the numbers of another tally."""
        self.number += other.number
        self.refused += other.refused
        self.failed += other.failed
        self.classes = [mine + others for mine, others in zip(self.classes, other.classes, strict=True)]


Tallies = dict[tuple[ActivityKind, str], Tally]


class Activity:
    """The counts of a process. All methods may be called by any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tallies: Tallies = {}
        self.open_sockets: Callable[[], int] | None = None

    def observe(
        self, kind: ActivityKind, name: str, seconds: float, *, refused: bool = False, failed: bool = False
    ) -> None:
        """Count something that took some time."""
        position = bisect_left(CLASSES_MS, seconds * 1000)
        with self._lock:
            tally = self._tally(kind, name)
            tally.number += 1
            tally.refused += refused
            tally.failed += failed
            tally.classes[position] += 1

    def count(self, name: str, number: int = 1) -> None:
        """Count something that has no duration."""
        with self._lock:
            self._tally("count", name).number += number

    def take(self) -> Tallies:
        """Return the counts since the last call."""
        with self._lock:
            taken, self._tallies = self._tallies, {}
        return taken

    def put_back(self, taken: Tallies) -> None:
        """Count again what was taken but could not be written."""
        with self._lock:
            for (kind, name), tally in taken.items():
                self._tally(kind, name).add(tally)

    def _tally(self, kind: ActivityKind, name: str) -> Tally:
        tally = self._tallies.get((kind, name))
        if tally is None:
            tally = self._tallies[kind, name] = Tally()
        return tally


ACTIVITY: Final = Activity()
"""The counts of this process."""


def percentile(classes: Iterable[int], share: float) -> float | None:
    """Return the duration in milliseconds that this share of all cases does not exceed; None if there are no cases.

    It is interpolated within a class. A case that took longer than all classes counts as long as the last one.
    """
    numbers = list(classes)
    rank = sum(numbers) * share
    if not rank:
        return None
    below = 0
    for position, number in enumerate(numbers[: len(CLASSES_MS)]):
        if number and below + number >= rank:
            start = CLASSES_MS[position - 1] if position else 0
            return round(start + (CLASSES_MS[position] - start) * (rank - below) / number, 1)
        below += number
    return float(CLASSES_MS[-1])
