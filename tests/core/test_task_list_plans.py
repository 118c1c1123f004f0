"""With 100,000 tasks, every task list of the API uses an index."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from core import db
from core.db import unit_of_work
from core.policy import Actor, Role
from core.services import task_lists
from core.services.task_lists import SORTABLE, SortKey, TaskQuery
from tests.sql import execute

PLAIN_COLUMNS = [name for name in SORTABLE if name != "relevance"]
FILTERS: dict[str, Any] = {
    "q": "gutters",
    "status": ["done"],
    "priority": ["urgent"],
    "user_id": 7,
    "assignee_id": 7,
    "group_id": 3,
    "city_key": "city 7",
    "created_from": datetime(2026, 5, 1, tzinfo=UTC),
    "created_before": datetime(2026, 1, 2, tzinfo=UTC),
    "due_from": datetime(2027, 5, 1, tzinfo=UTC),
    "due_before": datetime(2026, 1, 3, tzinfo=UTC),
    "overdue": True,
}


@pytest.fixture(scope="module", autouse=True)
def _many_tasks(postgres_url: str) -> Iterator[None]:
    db.configure(postgres_url, application="tests", statement_seconds=60)
    with unit_of_work():
        execute("SET LOCAL session_replication_role = replica")
        execute("DELETE FROM tasks")
        execute("INSERT INTO group_members (group_id, user_id) SELECT n, 7 FROM generate_series(1, 5) n")
        execute(
            """
            INSERT INTO tasks (title, description, status, priority, due_at, city, city_key, weather_status,
                               user_id, assignee_id, group_id, completed_at, created_at, updated_at)
            SELECT CASE WHEN n %% 1000 = 0 THEN 'gutters ' ELSE 'task ' END || n, 'a description of some length',
                   CASE WHEN n %% 500 = 0 THEN 'done' WHEN n %% 3 = 0 THEN 'in_progress' ELSE 'todo' END,
                   CASE WHEN n %% 400 = 0 THEN 'urgent' ELSE 'medium' END,
                   CASE WHEN n %% 2 = 0 THEN now() + n * interval '1 minute' - interval '10 minutes' END,
                   'City ' || n %% 1000, 'city ' || n %% 1000, 'ready', n %% 1000,
                   CASE WHEN n %% 10 = 0 THEN n %% 1000 + 7 END, CASE WHEN n %% 50 = 0 THEN n %% 1000 + 3 END,
                   CASE WHEN n %% 500 = 0 THEN now() END,
                   timestamptz '2026-01-01' + n * interval '1 minute', now() - n * interval '1 second'
            FROM generate_series(1, 100000) n
            """
        )
    execute("VACUUM ANALYZE tasks")
    execute("VACUUM ANALYZE group_members")
    yield
    execute("TRUNCATE tasks CASCADE")
    db.disconnect()


@pytest.mark.parametrize("is_admin", [True, False], ids=["admin", "user"])
@pytest.mark.parametrize("name", FILTERS)
def test_each_filter_uses_an_index(name: str, is_admin: bool) -> None:
    assert "Seq Scan on tasks" not in plan(TaskQuery({name: FILTERS[name]}), is_admin)


@pytest.mark.parametrize("is_admin", [True, False], ids=["admin", "user"])
@pytest.mark.parametrize("descending", [False, True], ids=["rising", "falling"])
@pytest.mark.parametrize("name", PLAIN_COLUMNS)
def test_each_order_uses_an_index(name: str, descending: bool, is_admin: bool) -> None:
    """This holds for the page. The total for an admin counts all tasks (as `t_1`), so a sequential scan is best."""
    explained = plan(TaskQuery(sort=(SortKey(name, descending=descending),)), is_admin)

    assert "Seq Scan on tasks t\n" not in explained
    assert is_admin or "Seq Scan on tasks" not in explained


@pytest.mark.parametrize("name", PLAIN_COLUMNS)
def test_a_late_page_is_read_from_its_cursor(name: str) -> None:
    """Rows that an index scan reads before the cursor would be reported as removed by a filter."""
    admin = Actor(1, Role.ADMIN, 1)
    sort = (SortKey(name),)
    cursor = task_lists.list_tasks(admin, TaskQuery(sort=sort, skip=60_000, limit=1)).next_cursor

    explained = plan(TaskQuery(sort=sort, limit=10, cursor=cursor), is_admin=True, analyze=True)

    removed = [int(line.rsplit(":", 1)[1]) for line in explained.splitlines() if "Rows Removed by Filter" in line]
    ties = 100_000 if name in {"status", "priority", "due_at"} else 1
    assert max(removed, default=0) <= ties


def plan(query: TaskQuery, is_admin: bool, *, analyze: bool = False) -> str:
    actor = Actor(7, Role.ADMIN if is_admin else Role.USER, 1)
    statement, parameters = task_lists.statement(actor, query)
    rows = execute(f"EXPLAIN ({'ANALYZE' if analyze else 'COSTS OFF'}) {statement.sql}", parameters).fetchall()
    return "\n".join(line for (line,) in rows)
