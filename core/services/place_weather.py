"""Find places by their names and fetch their weather, with as few calls to the provider as possible, side by side.

Each name and each point is granted by the budget of the day, and by the circuit breaker, which all processes share. The
forecasts are stored in PostgreSQL, and the current weather in Redis for a while: without Redis it is only fetched more
often.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

import orjson
import structlog
from redis.exceptions import RedisError

from core.db import read, unit_of_work
from core.jobs import JobContext
from core.services.forecasts import store_forecasts
from core.services.places import MOST_FOUND, resolve_names, store_all_found
from core.services.weather_calls import WeatherCalls
from core.weather import Point, ProviderUnavailable
from core.weather.forecast import Forecast

log = structlog.get_logger()

CALLS_SIDE_BY_SIDE: Final = 25
"""How many calls one job makes at most, all at the same time. So a job takes as long as its slowest call."""

_POINTS: Final = """
SELECT id, latitude, longitude, concat_ws(', ', name, coalesce(country, country_code))
FROM places WHERE id = ANY(%(place_ids)s)
"""

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Found:
    """The ids of places by the keys of their names, None where the provider knows none; what failed is left out.

    `refused` are the keys for which no call was granted.
    """

    places: dict[str, int | None]
    failure: str | None = None
    refused: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Fetched:
    """The weather of places by their ids: now, as JSON, and the forecasts that were fetched; what failed is left out.

    `refused` are the places for which no call was granted.
    """

    current: dict[int, bytes] = field(default_factory=dict)
    forecasts: dict[int, Forecast] = field(default_factory=dict)
    failure: str | None = None
    refused: list[int] = field(default_factory=list)


def find_places(context: JobContext, names: Mapping[str, str]) -> Found:
    """Find the best match of each name, given by its key: in the tables, and otherwise with one call for each name."""
    places = resolve_names(names)
    granted, refused = _granted(context, [key for key in names if key not in places][:CALLS_SIDE_BY_SIDE])
    answers, failure = _call_side_by_side(context, granted, lambda key: context.weather.search(names[key], MOST_FOUND))
    if answers:
        with unit_of_work():
            stored = store_all_found(dict(answers))
        places |= {key: ids[0] if ids else None for key, ids in stored.items()}
    return Found(places, failure or _refusal(refused), refused)


def current_weather(context: JobContext, place_ids: Collection[int]) -> Fetched:
    """Return the weather of places now, from the cache, or fetched together with their forecasts."""
    cached = _cached(context, list(place_ids))
    fetched = fetch_weather(context, [place_id for place_id in place_ids if place_id not in cached])
    return replace(fetched, current=cached | fetched.current)


def fetch_weather(context: JobContext, place_ids: Sequence[int]) -> Fetched:
    """Fetch and store the weather of places: only of the first ones, if not all calls are granted."""
    most = context.weather.points_per_call
    granted, refused = _granted(context, place_ids[: most * CALLS_SIDE_BY_SIDE], context.weather.calls_per_point)
    if not granted:
        return Fetched(failure=_refusal(refused), refused=refused)
    rows = read(_POINTS, {"place_ids": granted}).fetch_all()
    points = {place_id: Point(*point) for place_id, *point in rows}
    answers, failure = _call_side_by_side(
        context,
        [granted[first : first + most] for first in range(0, len(granted), most)],
        lambda chunk: context.weather.forecasts([points[place_id] for place_id in chunk]),
    )
    received = {
        place_id: weather
        for chunk, answer in answers
        for place_id, weather in zip(chunk, answer, strict=True)
        if weather is not None
    }
    forecasts = {place_id: weather.forecast for place_id, weather in received.items()}
    with unit_of_work():
        store_forecasts(forecasts)
    current = {
        place_id: orjson.dumps(weather.current.as_dict())
        for place_id, weather in received.items()
        if weather.current is not None
    }
    _store_in_cache(context, current)
    return Fetched(current, forecasts, failure or _refusal(refused), refused)


def _granted(context: JobContext, items: Sequence[Item], calls: int = 1) -> tuple[list[Item], list[Item]]:
    """Return the items for which the provider may be asked now, and the others. An item takes this many calls."""
    granted = WeatherCalls(context.settings, context.weather).granted(len(items) * calls) if items else 0
    # A single call is granted to try whether the provider is well again; it is enough for one item.
    granted = math.ceil(granted / calls)
    return list(items[:granted]), list(items[granted:])


def _refusal(refused: Sequence[object]) -> str | None:
    return "No more calls are granted at present." if refused else None


def _call_side_by_side(
    context: JobContext, items: Sequence[Item], call: Callable[[Item], Answer]
) -> tuple[list[tuple[Item, Answer]], str | None]:
    """Make a call for each item at the same time; returns the answers, and why others are missing."""
    if not items:
        return [], None
    answers: list[tuple[Item, Answer]] = []
    failures: list[ProviderUnavailable] = []
    with ThreadPoolExecutor(len(items)) as pool:
        # The calls belong to the same job, so their spans and log lines have its context.
        begun = [(item, pool.submit(copy_context().run, call, item)) for item in items]
    for item, future in begun:
        try:
            answers.append((item, future.result()))
        except ProviderUnavailable as failure:
            failures.append(failure)
    calls = WeatherCalls(context.settings, context.weather)
    if failures:
        # If several ask to be left alone, the longest time holds.
        calls.failed(max(failures, key=lambda failure: failure.retry_after or 0))
    else:
        calls.succeeded()
    return answers, str(failures[0]) if failures else None


def _cached(context: JobContext, place_ids: list[int]) -> dict[int, bytes]:
    if not place_ids:
        return {}
    try:
        cached: Any = context.redis.mget([_cache_key(context, place_id) for place_id in place_ids])
    except RedisError:
        log.warning("weather_cache_unreachable")
        return {}
    return {place_id: weather for place_id, weather in zip(place_ids, cached, strict=True) if weather is not None}


def _store_in_cache(context: JobContext, current: Mapping[int, bytes]) -> None:
    pipeline = context.redis.pipeline(transaction=False)
    for place_id, weather in current.items():
        pipeline.set(_cache_key(context, place_id), weather, ex=context.settings.weather_cache_seconds)
    try:
        pipeline.execute()
    except RedisError:
        log.warning("weather_cache_unreachable")


def _cache_key(context: JobContext, place_id: int) -> str:
    return f"allweather:weather:{context.weather.name}:{place_id}"
