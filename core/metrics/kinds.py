"""The three kinds of metrics: counters, gauges and histograms, with their labels.

`prometheus_client` has the same three. Where several processes share them, one observation takes it 9 µs, and each
process leaves a file. These take 0.8 µs, and the library only makes the text of them.

Two threads that count the same at the same moment may lose one of the two. So each metric is counted by one thread of a
process: the event loop of a web process, and the only thread of a worker's child.

Values of labels must come from a small set that is known in advance: never from a client, and never an id.
"""

from bisect import bisect_left
from collections.abc import Callable
from itertools import accumulate
from typing import Final

import orjson
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from core.metrics.memory import Memory, Numbers

Label = str | int
Sums = dict[tuple[str, ...], list[float]]
"""The numbers of a metric by its labels, summed over processes."""


class _Process:
    """The memory in which this process counts."""

    memory = Memory()


class _Declared:
    """What all kinds have in common: a name, a meaning, labels, and numbers for each combination of labels."""

    def __init__(self, name: str, meaning: str, labels: tuple[str, ...] = (), *, numbers: int = 1) -> None:
        self.name: Final = name
        self.meaning: Final = meaning
        self.labels: Final = labels
        self._count = numbers
        self._numbers: dict[tuple[Label, ...], Numbers] = {}
        DECLARED[name] = self

    def family(self, sums: Sums) -> Metric:
        """Return the metric as Prometheus' library wants it."""
        raise NotImplementedError

    def begin(self, /, *labels: Label) -> None:
        """Have a zero under these labels, so that Prometheus sees the first number after it as an increase."""
        self._of(labels)

    def forget(self) -> None:
        """Look the numbers up again, because the memory is another one."""
        self._numbers.clear()

    def start(self, numbers: Numbers) -> None:
        """Take over the numbers that an earlier process has left."""

    def _of(self, labels: tuple[Label, ...]) -> Numbers:
        found = self._numbers.get(labels)
        if found is None:
            key = orjson.dumps([self.name, *map(str, labels)]).decode()
            found = self._numbers[labels] = _Process.memory.place(key, self._count)
        return found


DECLARED: Final[dict[str, _Declared]] = {}
"""All metrics by their names."""


class Counter(_Declared):
    """A number that only grows. Its name ends with `_total`."""

    def add(self, amount: float = 1, /, *labels: Label) -> None:
        """Add an amount."""
        self._of(labels)[0] += amount

    def family(self, sums: Sums) -> Metric:
        """Return the metric as Prometheus' library wants it."""
        family = CounterMetricFamily(self.name, self.meaning, labels=self.labels)
        for labels, (value,) in sums.items():
            family.add_metric(labels, value)
        return family


class Gauge(_Declared):
    """A number that grows and shrinks, such as how many of something there are now. It begins with zero."""

    def __init__(self, name: str, meaning: str, labels: tuple[str, ...] = ()) -> None:
        super().__init__(name, meaning, labels)
        self._sources: dict[tuple[Label, ...], Callable[[], float]] = {}

    def set(self, value: float, /, *labels: Label) -> None:
        """Replace the number."""
        self._of(labels)[0] = value

    def add(self, amount: float, /, *labels: Label) -> None:
        """Add an amount, which may be negative."""
        self._of(labels)[0] += amount

    def value(self, *labels: Label) -> float:
        """Return the number of this process."""
        return self._of(labels)[0]

    def read_from(self, source: Callable[[], float], /, *labels: Label) -> None:
        """Take the number from a function from now on, whenever `sample()` is called."""
        self._sources[labels] = source

    def sample(self) -> None:
        """Take the numbers from the functions that `read_from()` was given."""
        for labels, source in self._sources.items():
            self.set(source(), *labels)

    def start(self, numbers: Numbers) -> None:
        """Begin with zero, because what an earlier process had has ended with it."""
        numbers[0] = 0

    def family(self, sums: Sums) -> Metric:
        """Return the metric as Prometheus' library wants it."""
        family = GaugeMetricFamily(self.name, self.meaning, labels=self.labels)
        for labels, (value,) in sums.items():
            family.add_metric(labels, value)
        return family


class Histogram(_Declared):
    """How many observations there were up to each of some bounds, and their sum."""

    def __init__(self, name: str, meaning: str, labels: tuple[str, ...] = (), *, bounds: tuple[float, ...]) -> None:
        # One number for each bound, one for what is beyond the last bound, and the sum.
        super().__init__(name, meaning, labels, numbers=len(bounds) + 2)
        self._bounds = bounds

    def observe(self, value: float, /, *labels: Label) -> None:
        """Add an observation."""
        numbers = self._numbers.get(labels) or self._of(labels)
        numbers[bisect_left(self._bounds, value)] += 1
        numbers[-1] += value

    def family(self, sums: Sums) -> Metric:
        """Return the metric as Prometheus' library wants it."""
        family = HistogramMetricFamily(self.name, self.meaning, labels=self.labels)
        names = [*map(str, self._bounds), "+Inf"]
        for labels, (*counts, total) in sums.items():
            family.add_metric(labels, list(zip(names, accumulate(counts), strict=True)), total)
        return family


def memory() -> Memory:
    """Return the memory in which this process counts."""
    return _Process.memory


def count_in(shared: Memory) -> None:
    """Count in this memory from now on. It may have the numbers of an earlier process, which this process replaces."""
    _Process.memory = shared
    for declared in DECLARED.values():
        declared.forget()
    for key, numbers in shared.items():
        DECLARED[orjson.loads(key)[0]].start(numbers)


def sample() -> None:
    """Take the numbers of all gauges from the functions that know them."""
    for declared in DECLARED.values():
        if isinstance(declared, Gauge):
            declared.sample()
