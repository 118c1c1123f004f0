"""With 100,000 tasks, every list of a user uses an index, and every index of tasks serves a request or a job."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from unittest.mock import Mock

import pytest

from core import db
from core.db import read, unit_of_work
from core.jobs import JobContext
from core.policy import Actor, Role
from core.prepared import Prepared
from core.retries import Outcome
from core.services import (
    failed_work,
    forecast_changes,
    missing_places,
    reminders,
    task_lists,
    tasks,
    weather,
    weather_rules,
)
from core.services.failed_work import Filter
from core.services.task_lists import NEWEST_FIRST, SORTABLE, SortKey, TaskQuery
from core.weather.forecast import Forecast
from tests.sql import execute
from tests.statements import statements_with_values

USER = Actor(7, Role.USER, 1)
ADMIN = Actor(7, Role.ADMIN, 1)
PLAIN_COLUMNS = [name for name in SORTABLE if name != "relevance"]
OLDEST_FIRST = (SortKey("created_at"),)
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
    "weather_state": ["warned"],
    "rain_above": 40,
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
                               weather_next_attempt_at, user_id, assignee_id, group_id, completed_at, created_at,
                               updated_at)
            SELECT CASE WHEN n %% 1000 = 0 THEN 'gutters ' ELSE 'task ' END || n, 'a description of some length',
                   CASE WHEN n %% 500 = 0 THEN 'done' WHEN n %% 3 = 0 THEN 'in_progress' ELSE 'todo' END,
                   CASE WHEN n %% 400 = 0 THEN 'urgent' ELSE 'medium' END,
                   CASE WHEN n %% 2 = 0 THEN now() + n * interval '1 minute' - interval '10 minutes' END,
                   'City ' || n %% 1000, 'city ' || n %% 1000, CASE WHEN n %% 100 = 1 THEN 'pending' ELSE 'ready' END,
                   CASE WHEN n %% 100 = 1 THEN now() + (n - 500) * interval '1 minute' END, n %% 1000,
                   CASE WHEN n %% 10 = 0 THEN (n + 507) %% 1000 END, CASE WHEN n %% 50 = 1 THEN n / 50 %% 5 + 1 END,
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


@pytest.mark.parametrize("name", FILTERS)
def test_each_filter_of_a_user_uses_an_index(name: str) -> None:
    assert "Seq Scan on tasks" not in plan_of_list(USER, TaskQuery({name: FILTERS[name]}))


@pytest.mark.parametrize(
    "name", ["q", "user_id", "assignee_id", "group_id", "city_key", "created_before", "weather_state"]
)
def test_filters_of_an_admin_that_find_few_tasks_use_an_index(name: str) -> None:
    assert "Seq Scan on tasks" not in plan_of_list(ADMIN, TaskQuery({name: FILTERS[name]}))


@pytest.mark.parametrize("descending", [False, True], ids=["rising", "falling"])
@pytest.mark.parametrize("name", PLAIN_COLUMNS)
def test_each_order_of_a_user_uses_an_index(name: str, descending: bool) -> None:
    assert "Seq Scan on tasks" not in plan_of_list(USER, TaskQuery(sort=(SortKey(name, descending=descending),)))


@pytest.mark.parametrize("actor", [USER, ADMIN], ids=["user", "admin"])
@pytest.mark.parametrize("sort", [NEWEST_FIRST, OLDEST_FIRST], ids=["newest", "oldest"])
@pytest.mark.parametrize("is_late", [False, True], ids=["first", "late"])
def test_pages_in_the_order_of_creation_read_only_their_tasks(
    actor: Actor, sort: tuple[SortKey, ...], is_late: bool
) -> None:
    """This is the one plan for all values: each part of the tasks is read in its order, and only one page of it."""
    skip = (60_000 if actor.is_admin else 60) if is_late else 0
    cursor = task_lists.list_tasks(actor, TaskQuery(sort=sort, skip=skip - 1, limit=1)).next_cursor if is_late else None
    sql, parameters = task_lists.statement(actor, TaskQuery(sort=sort, limit=10, cursor=cursor, counts=False))
    assert isinstance(sql, Prepared)
    with unit_of_work():
        read(sql, parameters)
        ((explained,),) = read(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql.execute}", parameters).fetch_all()

    scans = [node for node in nodes(explained[0]["Plan"]) if node.get("Relation Name") == "tasks"]
    assert len(scans) == (1 if actor.is_admin else 3)
    assert all(node["Node Type"] == "Index Scan" and node["Actual Rows"] <= 11 for node in scans), scans
    assert all(node.get("Rows Removed by Filter", 0) <= 1 for node in scans), scans


def test_a_search_looks_up_its_words_once_for_all_groups() -> None:
    """The words are looked up in the tasks of all users, so this takes longer with more tasks of others."""
    sql, parameters = task_lists.statement(USER, TaskQuery({"q": "gutters"}, counts=False))
    ((explained,),) = execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", parameters).fetchall()

    scans = [node for node in nodes(explained[0]["Plan"]) if node.get("Index Name") == "tasks_search"]
    assert sum(node["Actual Loops"] for node in scans) <= len(("owned", "assigned", "shared"))


USES: dict[str, Callable[[], object]] = {
    "tasks_pkey": lambda: tasks.read_task(ADMIN, first_id()),
    "tasks_owner_created": lambda: task_lists.list_tasks(USER, TaskQuery()),
    "tasks_assignee_created": lambda: task_lists.list_tasks(USER, TaskQuery()),
    "tasks_group_created": lambda: task_lists.list_tasks(USER, TaskQuery()),
    "tasks_created": lambda: task_lists.list_tasks(ADMIN, TaskQuery()),
    "tasks_search": lambda: task_lists.list_tasks(ADMIN, TaskQuery({"q": "gutters"})),
    "tasks_city": lambda: task_lists.list_tasks(ADMIN, TaskQuery({"city_key": "city 7"})),
    "tasks_overdue_untold": lambda: reminders.has_due(Mock(spec=JobContext)),
    "tasks_weather_judge": lambda: weather_rules.has_waiting(Mock(spec=JobContext)),
    "tasks_weather_state": lambda: task_lists.list_tasks(ADMIN, TaskQuery({"weather_state": ["warned"]})),
    "tasks_weather_pending": weather.WAITING.has_overdue,
    "tasks_weather_failing": lambda: failed_work.list_failed_work(Filter(), None, 0, 10),
    "tasks_weather_key": lambda: weather.WAITING.settle({"city 7": Outcome("unavailable")}),
    "tasks_weather_owner": weather.WAITING.next_key,
    "tasks_place": lambda: forecast_changes.tell_changes({7: Mock(spec=Forecast)}),
    "tasks_without_forecast": missing_places.has_work,
}


def test_every_index_of_tasks_serves_something() -> None:
    indexes = execute("SELECT indexname FROM pg_indexes WHERE tablename = 'tasks'").fetchall()

    assert {name for (name,) in indexes} == USES.keys()


@pytest.mark.parametrize("index", USES)
def test_an_index_is_used(index: str) -> None:
    """Each index makes every change of a task slower, so an index that no request and no job uses is dropped."""
    with unit_of_work():
        read("SELECT 1")
        with statements_with_values() as sent:
            USES[index]()
        planned = [text for text in sent if not text.startswith(("SAVEPOINT", "RELEASE", "PREPARE"))]
        plan = [line for text in planned for (line,) in read(f"EXPLAIN {text}").fetch_all()]

    assert any(f" {index} " in f"{line} " for line in plan), plan


def first_id() -> int:
    task_id: int = execute("SELECT min(id) FROM tasks").fetchone()[0]
    return task_id


def plan_of_list(actor: Actor, query: TaskQuery) -> str:
    sql, parameters = task_lists.statement(actor, query)
    rows = execute(f"EXPLAIN (COSTS OFF) {sql.sql if isinstance(sql, Prepared) else sql}", parameters).fetchall()
    return "\n".join(line for (line,) in rows)


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)
