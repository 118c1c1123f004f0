"""Expected weather in words, such as "gusts of 63 km/h (Sat, May 2, 2:00 PM)"."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from babel.dates import format_skeleton, format_time
from babel.numbers import format_decimal

from core.messages import Message, msg

# This text is the same in all languages.
_DEGREES: Final = Message("{value} °C ({when})")
_TEXTS: Final = {
    "max_rain_probability": msg("{value} % chance of rain ({when})"),
    "max_rain_mm": msg("{value} mm of rain ({when})"),
    "max_wind": msg("wind of {value} km/h ({when})"),
    "max_gusts": msg("gusts of {value} km/h ({when})"),
    "min_temperature": _DEGREES,
    "max_temperature": _DEGREES,
}


def weather_in_words(reasons: Iterable[Mapping[str, Any]], timezone: str, language: str) -> Message:
    """Return what is expected and when, not translated yet, with its numbers and times as in a language.

    `reasons` has the JSON of `core.weather.rules.Reason`. The times are those of the time zone.
    """
    zone = ZoneInfo(timezone)
    parts = {f"part{number}": _part(reason, zone, language) for number, reason in enumerate(reasons)}
    return Message(", ".join(f"{{{name}}}" for name in parts), **parts)


def _part(reason: Mapping[str, Any], zone: ZoneInfo, language: str) -> Message:
    at = datetime.fromisoformat(reason["at"]).astimezone(zone)
    when = f"{format_skeleton('MMMEd', at, locale=language)}, {format_time(at, 'short', locale=language)}"
    value = format_decimal(reason["expected"], "0.#", locale=language)
    return Message(_TEXTS[reason["limit"]].template, value=value, when=when)
