"""Totals of task lists: exact, though most tasks are not counted again; and left out where nobody needs them."""

import random
import threading
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from core import db
from core.db import unit_of_work
from core.models.task import STATUSES, Task
from core.policy import Actor
from core.prepared import Prepared
from core.services import administration, analytics, groups, task_lists, tasks
from core.services.task_lists import SortKey, TaskQuery
from tests.builders import create_group, create_task, update_task
from tests.sql import execute

pytestmark = pytest.mark.usefixtures("database")

BEYOND_THE_END = TaskQuery(skip=1_000_000)
"""A page that is empty and does not begin at the start cannot know its total."""


def text(actor: Actor, query: TaskQuery) -> tuple[str, dict[str, Any]]:
    sql, parameters = task_lists.statement(actor, query)
    return (sql.sql if isinstance(sql, Prepared) else sql), parameters


def total_and_count(actor: Actor) -> tuple[int, int]:
    """Read the total of a list, and count the tasks of the list, in one statement and therefore in one snapshot."""
    sql, parameters = text(actor, BEYOND_THE_END)
    visible = "true" if actor.is_admin else Task.visible_to()
    counted = f"SELECT count(*) FROM tasks t WHERE {visible}"
    total, count = execute(f"SELECT total, ({counted}) FROM ({sql}) page (items, total, last)", parameters).fetchone()
    return total, count


class TestExactness:
    def check(self, expected: dict[Actor, int]) -> None:
        for actor, number in expected.items():
            assert total_and_count(actor) == (number, number)
            assert task_lists.list_tasks(actor, TaskQuery()).total == number

    def test_before_and_after_folding(self, alice: Actor, ada: Actor) -> None:
        first, *_ = [create_task(alice) for _ in range(3)]
        self.check({alice: 3, ada: 3})
        analytics.fold()
        self.check({alice: 3, ada: 3})
        tasks.delete_task(alice, first)
        create_task(ada)
        self.check({alice: 2, ada: 3})
        analytics.fold()
        self.check({alice: 2, ada: 3})

    def test_a_new_owner(self, alice: Actor, bob: Actor) -> None:
        task_id = create_task(alice)
        create_task(alice)
        analytics.fold()
        execute("UPDATE tasks SET user_id = %s WHERE id = %s", (bob.user_id, task_id))

        self.check({alice: 1, bob: 1})
        analytics.fold()
        self.check({alice: 1, bob: 1})

    def test_a_deleted_account(self, alice: Actor, bob: Actor, ada: Actor) -> None:
        create_task(alice, assignee_id=bob.user_id)
        create_task(bob, assignee_id=alice.user_id)
        analytics.fold()
        self.check({alice: 2, bob: 2, ada: 2})
        administration.delete_account(ada, alice.user_id)

        self.check({bob: 1, ada: 1})

    def test_tasks_that_are_assigned(self, alice: Actor, bob: Actor) -> None:
        create_task(alice, assignee_id=alice.user_id)
        task_id = create_task(alice, assignee_id=bob.user_id)
        self.check({alice: 2, bob: 1})
        update_task(alice, task_id, assignee_id=None)

        self.check({alice: 2, bob: 0})

    def test_tasks_of_several_groups(self, alice: Actor, bob: Actor, mallory: Actor, ada: Actor) -> None:
        roofers = create_group(ada, "roofers", members=(alice, bob))
        painters = create_group(ada, "painters", members=(alice,))
        for group_id in (roofers, painters):
            create_task(ada, group_id=group_id)
            create_task(alice, group_id=group_id)
        create_task(ada, group_id=roofers, assignee_id=alice.user_id)
        create_task(ada, group_id=roofers, assignee_id=mallory.user_id)

        self.check({alice: 6, bob: 4, mallory: 1, ada: 6})
        groups.remove_member(ada, roofers, alice.user_id)
        self.check({alice: 4, bob: 4, ada: 6})

    def test_changes_at_the_same_time(self, alice: Actor, bob: Actor, ada: Actor) -> None:
        """While tasks are changed, and the changes are folded, the total of each snapshot equals its count."""
        shared = create_group(ada, members=(alice, bob))
        changes_done = threading.Event()

        def change_and_fold() -> None:
            rng = random.Random(7)  # noqa: S311 - the same changes in every run.
            try:
                for _ in range(300):
                    change_at_random(rng, (alice, bob), shared)
                    if rng.randrange(5) == 0:
                        analytics.fold(limit=rng.choice([1, 7, 100]))
            finally:
                changes_done.set()
                db.disconnect()

        writer = threading.Thread(target=change_and_fold)
        writer.start()
        compared = 0
        try:
            while not changes_done.is_set() or compared == 0:
                for actor in (alice, bob, ada):
                    total, count = total_and_count(actor)
                    assert total == count
                    compared += 1
        finally:
            writer.join()

        assert total_and_count(ada)[0] > 0


def change_at_random(rng: random.Random, users: tuple[Actor, ...], group_id: int) -> None:
    """Create, change or delete tasks with SQL: the totals must be right for every kind of writer."""
    picked = "(SELECT id FROM tasks ORDER BY random() LIMIT 2)"
    sql = rng.choice(
        [
            "INSERT INTO tasks (title, user_id, assignee_id) SELECT 'x', %(user)s, %(other)s",
            "INSERT INTO tasks (title, user_id, group_id) VALUES ('x', %(other)s, %(group)s)",
            f"UPDATE tasks SET user_id = %(user)s, assignee_id = %(other)s WHERE id IN {picked}",
            f"UPDATE tasks SET group_id = %(group)s, status = %(status)s WHERE id IN {picked}",
            f"DELETE FROM tasks WHERE id IN {picked}",
        ]
    )
    parameters = {
        "user": rng.choice(users).user_id,
        "other": rng.choice(users).user_id,
        "group": rng.choice([group_id, None]),
        "status": rng.choice([status for status in STATUSES if status != "done"]),
    }
    with unit_of_work():
        execute(sql, parameters)


class TestCounting:
    """What PostgreSQL runs: the parts of the plan that count are marked as never executed."""

    @pytest.fixture(autouse=True)
    def _tasks(self, alice: Actor, database: None) -> None:
        for number in range(3):
            create_task(alice, title=f"task {number}")

    @pytest.mark.parametrize("query", [TaskQuery(limit=3), TaskQuery({"user_id": 1}, limit=4), TaskQuery(skip=2)])
    def test_a_page_that_is_not_full_does_not_count(self, query: TaskQuery, alice: Actor, ada: Actor) -> None:
        for actor in (alice, ada):
            assert set(executed(actor, query)) == {False}

    @pytest.mark.parametrize("query", [TaskQuery(limit=2), TaskQuery(skip=3), TaskQuery({"status": ["todo"]}, limit=1)])
    def test_other_pages_count(self, query: TaskQuery, alice: Actor, ada: Actor) -> None:
        for actor in (alice, ada):
            assert any(executed(actor, query))
            assert task_lists.list_tasks(actor, query).total == 3

    @pytest.mark.parametrize("limit", [1, 2, 3, 100])
    def test_a_page_that_nobody_wants_counted_has_no_total(self, limit: int, alice: Actor) -> None:
        query = TaskQuery(limit=limit, counts=False)
        page = task_lists.list_tasks(alice, query)

        assert page.total is None
        assert len(orjson.loads(page.items)) == min(limit, 3)
        assert (page.next_cursor is None) == (limit >= 3)
        assert executed(alice, query) == []

    def test_a_page_by_cursor_counts_all_tasks(self, alice: Actor) -> None:
        cursor = task_lists.list_tasks(alice, TaskQuery(limit=1)).next_cursor

        assert task_lists.list_tasks(alice, TaskQuery(cursor=cursor)).total == 3
        assert task_lists.list_tasks(alice, TaskQuery(cursor=cursor, counts=False)).total is None

    def test_a_filtered_list_is_counted_by_its_filters(self, alice: Actor) -> None:
        create_task(alice, title="other", status="done")

        query = TaskQuery({"status": ["todo"]}, (SortKey("title"),), limit=1)
        assert task_lists.list_tasks(alice, query).total == 3


def executed(actor: Actor, query: TaskQuery) -> list[bool]:
    """Whether each scan was executed that only serves the total: those of tasks beside the page, and of the sums."""
    sql, parameters = text(actor, query)
    (((explained, *_),),) = execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", parameters).fetchall()
    return [
        node["Actual Loops"] > 0
        for node in beside_the_page(explained["Plan"], is_beside=False)
        if node.get("Relation Name") in {"tasks", "task_totals", "analytics_deltas"}
    ]


def beside_the_page(node: dict[str, Any], *, is_beside: bool) -> Iterator[dict[str, Any]]:
    """Return the nodes of a plan that belong to a subquery of its own (`InitPlan`)."""
    is_beside = is_beside or node.get("Parent Relationship") == "InitPlan"
    if is_beside:
        yield node
    for child in node.get("Plans", []):
        yield from beside_the_page(child, is_beside=is_beside)
