"""The stored forecasts of places: one row for each place, which each fetch replaces."""

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any, Final

import orjson

from core.db import read, write
from core.models.place import ForecastRow
from core.weather.forecast import Forecast, Series

_SERIES: Final = ("temperature", "feels_like", "rain_probability", "rain", "weather_code", "wind", "gusts")
_IN_TENTHS: Final = frozenset({"temperature", "feels_like", "rain", "wind", "gusts"})
_COLUMNS: Final = ", ".join(name for name in ForecastRow.columns() if name not in ForecastRow.KEPT)
_TYPES: Final = (
    "place_id bigint, provider text, fetched_at timestamptz, starts_at timestamptz, step_minutes smallint, "
    + (", ".join(f"{name} smallint[]" for name in _SERIES))
)

# An older forecast, whose response came late, does not replace a newer one.
_STORE: Final = f"""
INSERT INTO forecasts AS f ({_COLUMNS}) SELECT {_COLUMNS} FROM json_to_recordset(%(rows)s) AS row ({_TYPES})
ORDER BY place_id
ON CONFLICT (place_id) DO UPDATE SET ({_COLUMNS}) = ROW (
    {", ".join(f"excluded.{column}" for column in _COLUMNS.split(", "))})
WHERE f.fetched_at < excluded.fetched_at
RETURNING place_id
"""

_READ: Final = f"SELECT {_COLUMNS} FROM forecasts WHERE place_id = ANY(%(place_ids)s)"
_LOCK: Final = f"{_READ} ORDER BY place_id FOR SHARE"


def store_forecasts(forecasts: Mapping[int, Forecast]) -> list[int]:
    """Store forecasts by the ids of their places, in the running unit of work.

    Returns the ids of those that were stored. The others have a newer forecast already.
    """
    rows = [_row(place_id, forecast) for place_id, forecast in forecasts.items()]
    stored = write(_STORE, {"rows": orjson.dumps(rows).decode()}).fetch_all()
    return [place_id for (place_id,) in stored]


def read_forecasts(place_ids: Collection[int]) -> dict[int, Forecast]:
    """Read the forecasts of places by their ids; a place without a forecast is left out."""
    rows = read(_READ, {"place_ids": list(place_ids)}).fetch_all()
    return {place_id: _forecast(*values) for place_id, *values in rows}


def lock_forecasts(place_ids: Collection[int]) -> dict[int, Forecast]:
    """Read what `read_forecasts()` reads; no forecast of these can be replaced until the running unit of work ends."""
    rows = read(_LOCK, {"place_ids": list(place_ids)}).fetch_all()
    return {place_id: _forecast(*values) for place_id, *values in rows}


def _row(place_id: int, forecast: Forecast) -> dict[str, Any]:
    return {
        "place_id": place_id,
        "provider": forecast.provider,
        "fetched_at": forecast.fetched_at,
        "starts_at": forecast.starts_at,
        "step_minutes": forecast.step // timedelta(minutes=1),
        **{name: _stored(name, getattr(forecast, name)) for name in _SERIES},
    }


def _forecast(provider: str, fetched_at: Any, starts_at: Any, step_minutes: int, *series: list[int | None]) -> Forecast:
    values = {name: _read(name, numbers) for name, numbers in zip(_SERIES, series, strict=True)}
    return Forecast(provider, fetched_at, starts_at, timedelta(minutes=step_minutes), **values)


def _stored(name: str, series: Series) -> list[int | None]:
    scale = 10 if name in _IN_TENTHS else 1
    return [None if value is None else round(value * scale) for value in series]


def _read(name: str, numbers: list[int | None]) -> Series:
    scale = 10 if name in _IN_TENTHS else 1
    return tuple(None if number is None else number / scale for number in numbers)
