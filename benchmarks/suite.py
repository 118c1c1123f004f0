"""What a part of the benchmarks gets and returns.

A part is a module of this directory with a function `run(stack: Stack, options: Options) -> Result`. It is added to
`PARTS` in `benchmarks/__main__.py`.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Row = dict[str, str | float]
"""The cells of a row of a table by column. All rows of a table have the same columns."""


@dataclass(frozen=True)
class Options:
    """How long to measure, at which share of the usual sizes, and with which Python the peers run."""

    rounds: int
    seconds: float
    scale: float
    peer_python: Path

    def scaled(self, count: int) -> int:
        """Return this share of a usual number of rows or connections."""
        return round(count * self.scale)


@dataclass(frozen=True)
class Chart:
    """A chart of a part: for each series one number for each label."""

    title: str
    unit: str
    labels: list[str]
    series: dict[str, list[float]]
    kind: Literal["bars", "lines"] = "bars"


@dataclass(frozen=True)
class Result:
    """The tables and charts of a part by name. They are printed, written as JSON, and shown in docs/performance.md."""

    tables: dict[str, list[Row]]
    charts: dict[str, Chart] = field(default_factory=dict)


def progress(text: str) -> None:
    """Tell on standard error what is measured now."""
    print(text, file=sys.stderr, flush=True)
