"""Small calculations that several parts share."""

import statistics
from collections.abc import Sequence


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the value below which this share of the values lies. There must be at least two values."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def at_least(value: float, goal: float) -> str:
    """Return a goal for the table, with whether this value meets it."""
    return f"≥ {goal:g}: {'met' if value >= goal else 'missed'}"


def at_most(value: float, goal: float) -> str:
    """Return a goal for the table, with whether this value meets it."""
    return f"≤ {goal:g}: {'met' if value <= goal else 'missed'}"
