"""When forecasts are refreshed, what was done because of them, and the indexes of tasks by their place."""

# `refresh_at` is when to look at the place again, and `nearest_due_at` the next deadline of an open task there, both as
# they were computed last. `acted_on_at` is the `fetched_at` of the forecast because of which tasks were last judged.
_SCHEMA = """
ALTER TABLE forecasts
    ADD COLUMN refresh_at     timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN nearest_due_at timestamptz,
    ADD COLUMN acted_on_at    timestamptz;
CREATE INDEX forecasts_refresh ON forecasts (refresh_at);
CREATE INDEX forecasts_not_acted_on ON forecasts (fetched_at) WHERE acted_on_at IS DISTINCT FROM fetched_at;

CREATE INDEX tasks_place ON tasks (place_id, due_at) WHERE place_id IS NOT NULL AND status <> 'done';
DROP INDEX tasks_weather_city;
CREATE INDEX tasks_weather_key ON tasks (coalesce('place:' || place_id, city_key)) WHERE weather_status = 'pending';
CREATE INDEX tasks_without_forecast ON tasks (due_at) WHERE status <> 'done'
    AND ((place_id IS NULL AND weather_status = 'ready') OR weather_status = 'unavailable');
"""

_ROLLBACK = """
DROP INDEX tasks_without_forecast, tasks_weather_key, tasks_place;
CREATE INDEX tasks_weather_city ON tasks (city_key) WHERE weather_status = 'pending';
DROP INDEX forecasts_not_acted_on, forecasts_refresh;
ALTER TABLE forecasts DROP COLUMN acted_on_at, DROP COLUMN nearest_due_at, DROP COLUMN refresh_at;
"""


def migrate(migrator, database, *, fake=False):
    """Add the columns and the indexes; the index of waiting cities is replaced by one of waiting places and cities."""
    migrator.sql(_SCHEMA)


def rollback(migrator, database, *, fake=False):
    """Drop them again."""
    migrator.sql(_ROLLBACK)
