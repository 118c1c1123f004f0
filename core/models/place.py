"""Places, the names under which they were found, and their hourly forecasts."""

from typing import ClassVar, Final

from peewee import BigIntegerField, CharField, DoubleField, IdentityField, SmallIntegerField
from playhouse.postgres_ext import ArrayField

from core.models.base import NOW, BaseModel, DateTimeTZField, json_object
from core.weather.conditions import CONDITIONS


class Place(BaseModel):
    """A place that has weather: one that a provider has found by its name, or a point without a name."""

    INTERNAL: ClassVar[frozenset[str]] = frozenset({"reference", "created_at"})

    id = IdentityField()
    reference = CharField(100, unique=True)
    name = CharField(200, null=True)
    region = CharField(200, null=True)
    country = CharField(200, null=True)
    country_code = CharField(2, null=True)
    latitude = DoubleField()
    longitude = DoubleField()
    timezone = CharField(64, null=True)
    population = BigIntegerField(null=True)
    created_at = DateTimeTZField(constraints=NOW)

    class Meta:
        table_name = "places"


class PlaceName(BaseModel):
    """The places that a provider has found under a name, the best match first; none if it does not know the name."""

    key = CharField(400, primary_key=True)
    place_ids = ArrayField(BigIntegerField, index=False)
    looked_up_at = DateTimeTZField(constraints=NOW)

    class Meta:
        table_name = "place_names"


class ForecastRow(BaseModel):
    """The forecast of a place, one number for each step from `starts_at`.

    The numbers are tenths of °C, mm and km/h, whole percents, and WMO codes; NULL where the provider sent none. A new
    forecast does not replace the columns in `KEPT`: when to look at the place again, the next deadline of an open task
    there, and the `fetched_at` of the forecast because of which tasks were last judged.
    """

    KEPT: ClassVar[tuple[str, ...]] = ("refresh_at", "nearest_due_at", "acted_on_at")

    place_id = BigIntegerField(primary_key=True)
    provider = CharField(20)
    fetched_at = DateTimeTZField()
    starts_at = DateTimeTZField()
    step_minutes = SmallIntegerField()
    temperature = ArrayField(SmallIntegerField, index=False)
    feels_like = ArrayField(SmallIntegerField, index=False)
    rain_probability = ArrayField(SmallIntegerField, index=False)
    rain = ArrayField(SmallIntegerField, index=False)
    weather_code = ArrayField(SmallIntegerField, index=False)
    wind = ArrayField(SmallIntegerField, index=False)
    gusts = ArrayField(SmallIntegerField, index=False)
    refresh_at = DateTimeTZField(constraints=NOW)
    nearest_due_at = DateTimeTZField(null=True)
    acted_on_at = DateTimeTZField(null=True)

    class Meta:
        table_name = "forecasts"


_CONDITION_BY_CODE: Final = ", ".join(f'"{CONDITIONS.get(code, "unknown")}"' for code in range(max(CONDITIONS) + 1))
_CONDITION: Final = f"coalesce(('{{{_CONDITION_BY_CODE}}}'::text[])[f.weather_code[f.step] + 1], 'unknown')"

_TO_MIDDAY: Final = "interval '12 hours'"


def forecast_time_of_task(task: str) -> str:
    """Return the SQL of the time whose weather is the forecast of a task: its deadline.

    For a task with `due_on` it is midday, since the weather of the last second of a day says little about the day.
    """
    return f"CASE WHEN {task}.due_on IS NULL THEN {task}.due_at ELSE {task}.due_at - {_TO_MIDDAY} END"


def _number(instant: str) -> str:
    """Return the SQL of the number, from 1, of the step that contains a time. Any number may result."""
    return f"1 + floor(extract(epoch FROM {instant} - f.starts_at) / (60 * f.step_minutes))::integer"


def _step(task: str) -> str:
    """Return the SQL of the number, from 1, of the step that a task's forecast is. Any number may result.

    Whether there is one depends on the deadline alone, also for a task with `due_on`. It gets the first step if that is
    after midday, since some providers do not send the hours that have passed.
    """
    deadline = _number(f"{task}.due_at")
    return f"""CASE WHEN {task}.due_on IS NULL OR {deadline} > cardinality(f.temperature) THEN {deadline}
        ELSE greatest({_number(f"({task}.due_at - {_TO_MIDDAY})")}, least({deadline}, 1)) END"""


_IS_WITHIN: Final = "f.step BETWEEN 1 AND cardinality(f.temperature)"


def forecast_of_task(task: str) -> str:
    """Return the SQL of the column `forecast` of a task, which stands in the FROM list under the name `task`.

    It is NULL if the task has no place or deadline, or if nothing was fetched yet. For a task without a place, nothing
    is read. The result depends on the current time, so it is not stored with the task.

    PostgreSQL prepares this part of a statement before it knows whether the task has a place, so it must be small: with
    each number of the forecast computing its step for itself, the read of any task took 140 µs instead of 80 µs.
    `OFFSET 0` keeps the planner from copying the step into each of them.
    """
    forecast = json_object(
        (
            f"CASE WHEN {_IS_WITHIN} THEN 'within' WHEN {task}.due_at < now() THEN 'past' ELSE 'beyond' END AS horizon",
            f"CASE WHEN {_IS_WITHIN} THEN f.starts_at + (f.step - 1) * make_interval(mins => f.step_minutes) END AS at",
            "round(f.temperature[f.step] / 10.0, 1) AS temperature",
            "round(f.feels_like[f.step] / 10.0, 1) AS feels_like",
            f"CASE WHEN {_IS_WITHIN} THEN {_CONDITION} END AS condition",
            "f.rain_probability[f.step] AS rain_probability",
            "round(f.rain[f.step] / 10.0, 1) AS rain",
            "round(f.wind[f.step] / 10.0, 1) AS wind",
            "round(f.gusts[f.step] / 10.0, 1) AS gusts",
            "f.provider",
            "f.fetched_at",
        ),
        f"""(
            SELECT f.*, CASE WHEN {task}.due_at >= now() THEN {_step(task)} END AS step
            FROM forecasts f WHERE f.place_id = {task}.place_id OFFSET 0
        ) f""",
    )
    return f"CASE WHEN {task}.place_id IS NOT NULL AND {task}.due_at IS NOT NULL THEN {forecast} END AS forecast"


def rain_probability_of_task(task: str) -> str:
    """Return the SQL of the probability of rain (%) in the forecast of a task.

    It is NULL if it is not known. For a task without a place, nothing is read.
    """
    return f"""CASE WHEN {task}.place_id IS NOT NULL AND {task}.due_at >= now() THEN (
        SELECT f.rain_probability[{_step(task)}] FROM forecasts f WHERE f.place_id = {task}.place_id) END"""


def place_of_task(task: str) -> str:
    """Return the SQL of the column `place` of a task, which stands in the FROM list under the name `task`."""
    place = json_object(Place.visible_columns("p"), f"places p WHERE p.id = {task}.place_id")
    return f"CASE WHEN {task}.place_id IS NOT NULL THEN {place} END AS place"
