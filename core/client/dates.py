"""Dates as people write them: today, tomorrow 9:00, fri, +3d, 2026-05-01T14:30."""

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

_WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_SHORTEST_WEEKDAY: Final = 3
_DISTANCE: Final = re.compile(r"\+(\d{1,4})([mhdw])")
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_TIME: Final = re.compile(r"(\d{1,2}):(\d{2})")


class UnknownDate(ValueError):  # noqa: N818 - the input of a person, not a mistake in the code.
    """A text is not a date that is understood; the message says what is."""


def parse_due(text: str, zone: ZoneInfo, now: datetime) -> date:
    """Return the day that a person means, or, as a `datetime` in UTC, the moment.

    Days are those of `zone`, and a weekday is the next one after today. `+2h` and `+30m` count from `now`, and `+3d`
    and `+1w` mean days.

    Raises:
        UnknownDate: if the text is not understood.
    """
    words = text.strip().casefold()
    today = now.astimezone(zone).date()
    try:
        if (moment := _exact_moment(words, now)) is not None:
            return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=zone).astimezone(UTC)
        first, _, second = words.partition(" ")
        day = _day(first, today)
        return datetime.combine(day, _time(second.strip()), zone).astimezone(UTC) if second else day
    except (ValueError, OverflowError):
        raise UnknownDate(
            f"{text!r} is no date. Write today, tomorrow, a weekday, +3d, +2h or 2026-05-01, each day also with a "
            "time, as in: tomorrow 9:00."
        ) from None


def _exact_moment(words: str, now: datetime) -> datetime | None:
    """Return the moment of a text that names more than a day, or None."""
    distance = _DISTANCE.fullmatch(words)
    if distance and distance[2] in "mh":
        return now + timedelta(**{_UNITS[distance[2]]: int(distance[1])})
    return datetime.fromisoformat(words.upper()) if re.match(r"\d{4}-\d\d-\d\dt", words) else None


def _day(word: str, today: date) -> date:
    if word == "today":
        return today
    if word == "tomorrow":
        return today + timedelta(days=1)
    if distance := _DISTANCE.fullmatch(word):
        return today + timedelta(**{_UNITS[distance[2]]: int(distance[1])})
    if len(word) >= _SHORTEST_WEEKDAY:
        for number, name in enumerate(_WEEKDAYS):
            if name.startswith(word):
                return today + timedelta(days=(number - today.weekday() - 1) % 7 + 1)
    return date.fromisoformat(word)


def _time(words: str) -> time:
    match = _TIME.fullmatch(words)
    if match is None:
        raise ValueError(words)
    return time(int(match[1]), int(match[2]))
