"""What the examination of an installation finds."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any


class Level(IntEnum):
    """How bad a finding is. The worst one is the exit code of `allweather doctor`."""

    OK = 0
    WARN = 1
    BAD = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the examination: what was looked at, how it is, and, unless it is well, what to do."""

    subject: str
    level: Level
    text: str
    advice: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the finding as a dict, for JSON."""
        return {"subject": self.subject, "level": self.level.name.lower(), "text": self.text, "advice": self.advice}

    def no_worse_than(self, level: Level) -> "Finding":
        """Return the same finding, with this level if its own is worse."""
        return replace(self, level=min(self.level, level))


def graded(value: float, *, warn_from: float, bad_from: float) -> Level:
    """Return the level of a measured value: the higher the value, the worse."""
    if value >= bad_from:
        return Level.BAD
    return Level.WARN if value >= warn_from else Level.OK


def well(subject: str, text: str) -> Finding:
    """Return a finding that is well."""
    return Finding(subject, Level.OK, text)


def worst(findings: Iterable[Finding]) -> Level:
    """Return the worst level of these findings."""
    return max((finding.level for finding in findings), default=Level.OK)
