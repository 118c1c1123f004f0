"""Where the made-up tasks are, and what the weather does to them: their places with forecasts, and the warnings."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from core.demo.climate import PLACES, Place, conditions, forecast
from core.demo.texts import Person
from core.models.place import Place as PlaceRow
from core.services.forecasts import read_forecasts, store_forecasts
from core.weather import WeatherReport
from core.weather.conditions import CONDITIONS
from core.weather.forecast import Forecast
from core.weather.rules import UNKNOWN, Verdict, effective_rule, hours_of_span, judge
from core.weather.spans import Span
from core.weather.working_hours import WorkingHours

_PROVIDER: Final = "demo"
_USUAL_MINUTES: Final = 60


@dataclass(frozen=True, slots=True)
class Site:
    """A place as it is stored, with its id and its forecast."""

    id: int
    place: Place
    forecast: Forecast


def write_sites(now: datetime) -> list[Site]:
    """Store the places of the demonstration with their forecasts, in the running unit of work.

    They are the places that Open-Meteo finds by these names, so a later search finds them again. A place or a forecast
    that is there already stays as it is, since tasks of real people may depend on it.
    """
    rows = [_row(place) for place in PLACES]
    # An update that changes nothing, because only rows that are written are returned.
    stored = PlaceRow.insert_many(rows).on_conflict(conflict_target=[PlaceRow.reference], preserve=[PlaceRow.reference])
    ids = dict(stored.returning(PlaceRow.reference, PlaceRow.id).tuples().execute())
    known = read_forecasts(ids.values())
    places = {ids[_reference(place)]: place for place in PLACES}
    made_up = {each: forecast(place, now, _PROVIDER) for each, place in places.items() if each not in known}
    store_forecasts(made_up)
    return [Site(place_id, place, (known | made_up)[place_id]) for place_id, place in places.items()]


def report(place: Place, at: datetime) -> dict[str, Any]:
    """Return the weather of a time, as a worker adds it to a task."""
    weather = conditions(place, at)
    current = WeatherReport(
        temperature=weather.temperature,
        feels_like=weather.feels_like,
        condition=CONDITIONS[weather.weather_code],
        humidity=weather.humidity,
        wind_speed=weather.wind_speed,
        location=f"{place.name}, {place.country}",
        provider=_PROVIDER,
        fetched_at=at,
    )
    return current.as_dict() | {"fetched_at": at.isoformat()}


def verdict(task: Mapping[str, Any], owner: Person, site: Site | None, now: datetime) -> Verdict | None:
    """Return what workers will find when they judge a task, or None if it has no rule or is done.

    So the state of a new task is right from the beginning, and nobody is told of a warning that is made up.
    """
    rule = effective_rule(task["weather_rule"], owner.rule if site else None)
    if rule is None or task["status"] == "done":
        return None
    if site is None or task["due_at"] is None or task["due_at"] <= now:
        return UNKNOWN
    span = _span(task, owner)
    return UNKNOWN if span is None else judge(rule, hours_of_span(site.forecast, span.starts_at, span.ends_at), None)


def _span(task: Mapping[str, Any], owner: Person) -> Span | None:
    if task["due_on"] is not None:
        return WorkingHours.from_json(owner.working_hours, ZoneInfo(owner.timezone)).of_any_day(task["due_on"])
    return Span(task["due_at"] - timedelta(minutes=task["duration_minutes"] or _USUAL_MINUTES), task["due_at"])


def _row(place: Place) -> dict[str, Any]:
    return {
        "reference": _reference(place),
        "name": place.name,
        "region": place.region,
        "country": place.country,
        "country_code": place.code,
        "latitude": place.latitude,
        "longitude": place.longitude,
        "timezone": place.timezone,
        "population": place.population,
    }


def _reference(place: Place) -> str:
    return f"open-meteo:{place.id}"
