"""Tasks for the measurements of growth, loaded by SQL: mostly small users, one large user, and groups."""

from typing import Final

from core import db

LARGE_USER: Final = 1
"""The user who owns 3 % of all tasks."""

ORDINARY_USER: Final = 7
"""One of the others. At every size they own about 100 tasks each, are assigned to ten of others, and see about 100 more
in two groups."""

SEARCHED: Final = "word77"
"""The beginning of the words of a search, which 1.1 % of all tasks have."""

_TASKS_OF_USER: Final = 100
_TASKS_OF_GROUP: Final = 1000

_PEOPLE: Final = """
INSERT INTO users (username, password_hash) SELECT 'user ' || n, '-' FROM generate_series(1, %(users)s) n;
INSERT INTO groups (name) SELECT 'group ' || n FROM generate_series(1, %(groups)s) n;
INSERT INTO group_members (group_id, user_id)
SELECT 1 + (n + step * 7) %% %(groups)s, n FROM generate_series(1, %(users)s) n, generate_series(0, 1) step
ON CONFLICT DO NOTHING
"""

# The large user has the id 1. The others create ten tasks one after the other, in turn, so that the tasks of each are
# spread over the year.
_TASKS: Final = """
INSERT INTO tasks (title, description, status, priority, due_at, city, city_key, weather_status, user_id, assignee_id,
                   group_id, completed_at, created_at, updated_at)
SELECT 'Task ' || n || ' word' || n %% 1000, 'Before the rain comes, the gutters must be clean. Ask the neighbour.',
       CASE n %% 4 WHEN 0 THEN 'done' WHEN 1 THEN 'in_progress' ELSE 'todo' END,
       (ARRAY['low', 'medium', 'high', 'urgent'])[1 + n %% 4],
       CASE WHEN n %% 2 = 0 THEN at + interval '30 days' END,
       CASE WHEN n %% 3 = 0 THEN 'City ' || n %% 999 END, CASE WHEN n %% 3 = 0 THEN 'city ' || n %% 999 END,
       CASE WHEN n %% 3 = 0 THEN 'ready' END,
       CASE WHEN n %% 100 < 3 THEN 1 ELSE 2 + n / 10 %% (%(users)s - 1) END,
       CASE WHEN n %% 10 = 0 THEN 1 + (n / 10) %% %(users)s END,
       CASE WHEN n %% 20 = 1 THEN 1 + (n / 20) %% %(groups)s END,
       CASE WHEN n %% 4 = 0 THEN at END, at, at
FROM (SELECT n, timestamptz '2026-01-01' + n * (interval '365 days' / %(tasks)s) AS at
      FROM generate_series(1, %(tasks)s) n) numbered
"""

_FIGURES: Final = """
INSERT INTO analytics_rollups (day, user_id, status, tasks)
SELECT (created_at AT TIME ZONE 'UTC')::date, user_id, status, count(*) FROM tasks GROUP BY 1, 2, 3
"""


def users(tasks: int) -> int:
    """Return how many users there are in the database with so many tasks; each of them has tasks."""
    return tasks // _TASKS_OF_USER


def load(tasks: int) -> None:
    """Add tasks and people to an empty database, with their figures and with fresh statistics."""
    parameters = {"tasks": tasks, "users": users(tasks), "groups": tasks // _TASKS_OF_GROUP}
    with db.unit_of_work():
        db.write(_PEOPLE, parameters)
        # The figures are counted once afterwards, which is faster than a trigger for each task.
        db.write("ALTER TABLE tasks DISABLE TRIGGER USER")
        db.write(_TASKS, parameters)
        db.write(_FIGURES)
        db.write("ALTER TABLE tasks ENABLE TRIGGER USER")
