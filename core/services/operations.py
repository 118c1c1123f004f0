"""The operator's overview: the measures with their state and last hours, and the details behind them."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

import orjson
from redis import Redis
from redis.exceptions import RedisError

from core import jobs
from core.config import Settings
from core.db import read, unit_of_work, write
from core.jobs import JobContext
from core.messages import translate
from core.services.measures import MEASURES, Queue, State, Values, ask_for_queues, queues_from, read_values
from core.services.processes import WINDOW_MINUTES, forget_old, list_activity, list_processes

KEPT_HOURS: Final = 48
"""For how long measurements are kept."""

# A series has about as many points as a small chart has pixels.
_POINTS: Final = 120
_MOST_LISTED: Final = 10
_MOST_TABLES: Final = 20
_WORST_FIRST: Final[tuple[State, ...]] = ("bad", "warn", "ok")

_STORE: Final = """
INSERT INTO measurements (at, name, value)
SELECT date_trunc('minute', now()), name, value
FROM unnest(%(names)s::text[], %(values)s::float8[]) AS measured (name, value)
ON CONFLICT (at, name) DO NOTHING
"""
_PURGE: Final = f"DELETE FROM measurements WHERE at < now() - interval '{KEPT_HOURS} hours'"

_SERIES: Final = """
SELECT name, json_agg(json_build_array(at, value) ORDER BY at)::text FROM (
    SELECT name, date_bin(make_interval(mins => %(step)s), at, 'epoch') AS at, avg(value) AS value
    FROM measurements WHERE at > now() - make_interval(hours => %(hours)s) AND name = ANY(%(names)s)
    GROUP BY 1, 2) points
GROUP BY name
"""


def _rows(select: str) -> str:
    """Return the SQL of the rows of a query as a JSON array."""
    return f"(SELECT coalesce(json_agg(listed), '[]') FROM ({select}) listed)"


_DETAILS: Final = f"""
SELECT json_build_object(
    'tables', {
    _rows(f'''
        SELECT relname AS name, CASE relkind WHEN 'p' THEN
            (SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree(c.oid)) ELSE pg_total_relation_size(c.oid)
            END::bigint AS bytes
        FROM pg_class c WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
        ORDER BY 2 DESC LIMIT {_MOST_TABLES}''')
},
    'connections', {
    _rows('''
        SELECT application_name AS application, coalesce(state, 'unknown') AS state, count(*) AS number
        FROM pg_stat_activity WHERE datname = current_database()
        GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2''')
},
    'locks', {
    _rows('''
        SELECT application_name AS application, pid, granted FROM pg_locks JOIN pg_stat_activity USING (pid)
        WHERE locktype = 'advisory' AND datname = current_database() ORDER BY 1, 2, 3''')
},
    'capped_mails', {
    _rows(f'''
        SELECT subject, mails, refused FROM mail_counts WHERE period_start >= date_trunc('hour', now())
        ORDER BY mails DESC, subject LIMIT {_MOST_LISTED}''')
},
    'waiting_weather', {
    _rows(f'''
        SELECT user_id, count(*) AS number FROM tasks WHERE weather_status = 'pending'
        GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {_MOST_LISTED}''')
},
    'most_tasks', {
    _rows(f'''
        SELECT user_id, tasks AS number FROM task_totals ORDER BY 2 DESC, 1 LIMIT {_MOST_LISTED}''')
},
    'most_stored', {
    _rows(f'''
        SELECT user_id, coalesce(sum(size), 0)::bigint AS number FROM stored_files
        GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {_MOST_LISTED}''')
}
)::text
"""

# The parameter exists only if the library is loaded, and only then the view can be read.
_HAS_STATEMENTS: Final = (
    "SELECT to_regclass('pg_stat_statements') IS NOT NULL AND current_setting('pg_stat_statements.max', true) <> ''"
)
# The values of these statements are left out by the extension. Others, such as ALTER ROLE, may contain a password.
_WITHOUT_VALUES: Final = r"^\s*(SELECT|INSERT|UPDATE|DELETE|WITH|PREPARE)\M"
_STATEMENTS: Final = f"""
SELECT coalesce(json_agg(slow), '[]')::text FROM (
    SELECT left(query, 500) AS statement, calls, round(mean_exec_time::numeric, 2)::float8 AS mean_ms,
           round(max_exec_time::numeric, 2)::float8 AS longest_ms
    FROM pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND query ~* '{_WITHOUT_VALUES}'
    ORDER BY total_exec_time DESC LIMIT {_MOST_LISTED}) slow
"""


def overview(settings: Settings, queues: Sequence[Queue] | None, language: str) -> dict[str, Any]:
    """Return the state of an installation.

    Args:
        settings: The settings.
        queues: The queues in Redis, or None if it cannot be reached.
        language: The language of the advice.
    """
    processes = list_processes()
    measures = describe(read_values(settings, queues), language)
    states = {measure["state"] for measure in measures} | {process["state"] for process in processes}
    details: dict[str, Any] = orjson.loads(read(_DETAILS).fetch_value())
    return {
        "state": next((state for state in _WORST_FIRST if state in states), "ok"),
        "window_minutes": WINDOW_MINUTES,
        "measures": measures,
        "processes": processes,
        "queues": [asdict(queue) for queue in queues or ()],
        "jobs": list_activity("job"),
        "requests": list_activity("request"),
        **details,
        "slowest_statements": _slowest_statements(),
    }


def describe(values: Values, language: str) -> list[dict[str, Any]]:
    """Return all measures with their values and states, and what to do about those that are not ok."""
    described = []
    for measure in MEASURES:
        value = values.get(measure.name)
        state = measure.state(value)
        runbook = None if state == "ok" else measure.runbook
        described.append(
            {
                "name": measure.name,
                "unit": measure.unit,
                "value": value,
                "state": state,
                "advice": runbook and translate(runbook.advice, language),
                "runbook": runbook and runbook.anchor,
            }
        )
    return described


def read_series(hours: int) -> dict[str, Any]:
    """Return the last hours of all measures; each point is the average of as many minutes as `step_minutes` says."""
    step = max(hours * 60 // _POINTS, 1)
    names = [measure.name for measure in MEASURES]
    rows = read(_SERIES, {"hours": hours, "step": step, "names": names}).fetch_all()
    return {"step_minutes": step, "series": {name: orjson.loads(points) for name, points in rows}}


def read_queues(redis: Redis) -> list[Queue] | None:
    """Read the queues; None if Redis cannot be reached."""
    pipeline = redis.pipeline(transaction=False)
    ask_for_queues(pipeline)
    try:
        return queues_from(pipeline.execute())
    except RedisError:
        return None


@jobs.OPERATIONS_SAMPLE.work
def sample(context: JobContext) -> int:
    """Store the values of all measures, and forget old ones and what processes did long ago; returns how many."""
    forget_old()
    values = read_values(context.settings, read_queues(context.redis))
    known = {name: value for name, value in values.items() if value is not None}
    with unit_of_work():
        write(_PURGE)
        return write(_STORE, {"names": list(known), "values": list(known.values())}).count


def _slowest_statements() -> list[dict[str, Any]] | None:
    """Return the statements that took the most time in all; None if PostgreSQL does not record statements."""
    if not read(_HAS_STATEMENTS).fetch_value():
        return None
    statements: list[dict[str, Any]] = orjson.loads(read(_STATEMENTS).fetch_value())
    return statements
