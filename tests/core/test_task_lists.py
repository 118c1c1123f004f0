"""Lists of tasks: visibility, filters, search, order, and pages that neither skip nor repeat tasks."""

import base64
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from core.db import unit_of_work
from core.errors import Invalid
from core.models.task import Task
from core.policy import Actor, may_read_task
from core.representations import CursorPage
from core.services import groups, task_lists, tasks
from core.services.task_access import ACCESS_COLUMNS, task_access
from core.services.task_lists import BEST_FIRST, NEWEST_FIRST, SORTABLE, SortKey, TaskQuery
from tests.builders import create_group, create_task
from tests.sql import execute

pytestmark = pytest.mark.usefixtures("database")

PLAIN_COLUMNS = [name for name in SORTABLE if name != "relevance"]


def ids_of(page: CursorPage) -> list[int]:
    return [task["id"] for task in orjson.loads(page.items)]


class TestLists:
    def titles(self, actor: Actor, sort: tuple[SortKey, ...] = NEWEST_FIRST, **filters: Any) -> list[str]:
        page = task_lists.list_tasks(actor, TaskQuery(filters, sort))
        found = [task["title"] for task in orjson.loads(page.items)]
        assert page.total == len(found)
        return found

    def test_visibility_in_sql_agrees_with_the_policy(
        self, alice: Actor, bob: Actor, mallory: Actor, ada: Actor
    ) -> None:
        users = (alice, bob, mallory, ada)
        shared = create_group(ada, "shared")
        groups.put_member(ada, shared, bob.user_id, is_manager=False)
        left_again = create_group(ada, "left again")
        groups.put_member(ada, left_again, mallory.user_id, is_manager=True)
        for owner in users:
            for assignee in (None, *users):
                assignee_id = None if assignee is None else assignee.user_id
                given_to_groups = [create_task(owner, assignee_id=assignee_id) for _ in range(3)][1:]
                for task_id, group_id in zip(given_to_groups, (shared, left_again), strict=True):
                    tasks.update_task(ada, task_id, {"group_id": group_id})
        groups.remove_member(mallory, left_again, mallory.user_id)

        for actor in users:
            listed = ids_of(task_lists.list_tasks(actor, TaskQuery()))
            rows = execute(f"SELECT t.id, {ACCESS_COLUMNS} FROM tasks t", {"actor_id": actor.user_id}).fetchall()
            readable = {row[0] for row in rows if may_read_task(actor, task_access(*row[1:]))}
            assert len(listed) == len(set(listed))
            assert set(listed) == readable
            if not actor.is_admin:
                visible = f"SELECT t.id FROM tasks t WHERE {Task.visible_to()}"
                assert {task_id for (task_id,) in execute(visible, {"actor_id": actor.user_id}).fetchall()} == readable

    def test_each_filter(self, alice: Actor, bob: Actor, ada: Actor) -> None:
        day = datetime(2026, 5, 1, tzinfo=UTC)
        create_task(alice, title="a", status="done", city="London", due_at=day)
        create_task(alice, title="b", priority="urgent", assignee_id=bob.user_id)
        create_task(bob, title="c")
        group_id = create_group(ada, "roofers")
        create_task(ada, title="d", group_id=group_id)
        with unit_of_work():
            execute("UPDATE tasks SET created_at = %s WHERE title = 'a'", (day,))

        assert self.titles(ada, group_id=group_id) == ["d"]
        assert self.titles(alice, group_id=group_id) == []
        assert self.titles(ada, status=["done", "in_progress"]) == ["a"]
        assert self.titles(ada, priority=["urgent"]) == ["b"]
        assert self.titles(ada, user_id=bob.user_id) == ["c"]
        assert self.titles(ada, assignee_id=bob.user_id) == ["b"]
        assert self.titles(ada, city_key="london") == ["a"]
        assert self.titles(ada, created_before=day + timedelta(seconds=1)) == ["a"]
        assert self.titles(ada, created_from=day + timedelta(seconds=1)) == ["d", "c", "b"]
        assert self.titles(ada, overdue=True) == []
        assert self.titles(ada, not_overdue=True) == ["d", "c", "b", "a"]
        assert self.titles(ada, due_from=day, due_before=day + timedelta(days=1)) == ["a"]
        assert self.titles(ada, user_id=alice.user_id, status=["todo"], city_key="x' OR true --") == []

    @pytest.mark.parametrize("name", PLAIN_COLUMNS)
    def test_each_sort_key_works_in_both_directions(self, name: str, alice: Actor) -> None:
        for number, due_at in enumerate((None, datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 5, 2, tzinfo=UTC))):
            create_task(
                alice,
                title=f"task {number}",
                status=("todo", "in_progress", "done")[number],
                priority=("low", "medium", "urgent")[number],
                due_at=due_at,
            )
        expected = ["task 0", "task 1", "task 2"]

        rising = self.titles(alice, (SortKey(name),))
        falling = self.titles(alice, (SortKey(name, descending=True),))

        if name == "due_at":
            assert (rising, falling) == (["task 1", "task 2", "task 0"], ["task 2", "task 1", "task 0"])
        else:
            assert (rising, falling) == (expected, expected[::-1])

    def test_pages_neither_skip_nor_repeat(self, alice: Actor) -> None:
        for _ in range(7):
            create_task(alice, title="the same")
        pages = [task_lists.list_tasks(alice, TaskQuery(skip=skip, limit=3)) for skip in (0, 3, 6, 9)]

        ids = [task["id"] for page in pages for task in orjson.loads(page.items)]

        assert len(set(ids)) == len(ids) == 7
        assert {page.total for page in pages} == {7}


class TestSearch:
    def titles(self, actor: Actor, q: str) -> list[str]:
        page = task_lists.list_tasks(actor, TaskQuery({"q": q}, BEST_FIRST))
        return [task["title"] for task in orjson.loads(page.items)]

    def test_search_finds_prefixes_of_words_in_title_and_description(self, alice: Actor) -> None:
        create_task(alice, title="Clean the gutters")
        create_task(alice, title="Убрать снег", description="на крыше")
        create_task(alice, title="Rest", description="The roof is clean but the gutters are not.")

        assert self.titles(alice, "gutter") == ["Clean the gutters", "Rest"]
        assert self.titles(alice, "крыш снег") == ["Убрать снег"]
        assert self.titles(alice, "gutter -roof") == ["Clean the gutters"]
        assert self.titles(alice, '"clean the"') == ["Clean the gutters"]
        assert self.titles(alice, "снег OR rest") == ["Rest", "Убрать снег"]
        assert self.titles(alice, "utters") == []

    def test_the_title_weighs_more_than_the_description(self, alice: Actor) -> None:
        create_task(alice, title="Anything", description="ladder")
        create_task(alice, title="ladder")

        assert self.titles(alice, "ladder") == ["ladder", "Anything"]

    def test_search_finds_only_readable_tasks(self, alice: Actor, mallory: Actor) -> None:
        create_task(alice, title="A secret ladder")

        assert self.titles(mallory, "ladder") == []

    @pytest.mark.parametrize("q", ["!!!", "'", "a'b", ":*", "& | ! ( )", "\\", "-", '"', "a <-> b", "%s", "x':*|'y"])
    def test_special_characters_in_a_search_are_harmless(self, q: str, alice: Actor) -> None:
        create_task(alice, title="ladder")

        assert self.titles(alice, q) == []


class TestCursors:
    def read_pages(self, actor: Actor, query: TaskQuery) -> Iterator[list[int]]:
        cursor = None
        while True:
            page = task_lists.list_tasks(actor, TaskQuery(query.filters, query.sort, 0, query.limit, cursor))
            yield ids_of(page)
            cursor = page.next_cursor
            if cursor is None:
                return

    @pytest.mark.parametrize(
        "sort",
        [
            *[(SortKey(name),) for name in PLAIN_COLUMNS],
            *[(SortKey(name, descending=True),) for name in PLAIN_COLUMNS],
            (SortKey("priority", descending=True), SortKey("due_at"), SortKey("title", descending=True)),
            (SortKey("due_at", descending=True), SortKey("status")),
        ],
        ids=lambda keys: ",".join(map(str, keys)),
    )
    def test_all_pages_together_equal_the_whole_list(self, sort: tuple[SortKey, ...], alice: Actor) -> None:
        rng = random.Random(7)  # noqa: S311 - the same tasks in every run.
        day = datetime(2026, 5, 1, 12, 0, 0, 123456, tzinfo=UTC)
        for _ in range(30):
            create_task(
                alice,
                title=rng.choice("aBcÄ\"'"),
                status=rng.choice(["todo", "in_progress", "done"]),
                priority=rng.choice(["low", "urgent"]),
                due_at=rng.choice([None, day, day + timedelta(microseconds=1)]),
            )
        whole = ids_of(task_lists.list_tasks(alice, TaskQuery(sort=sort)))

        pages = list(self.read_pages(alice, TaskQuery(sort=sort, limit=7)))

        assert [task_id for page in pages for task_id in page] == whole
        assert [len(page) for page in pages] == [7, 7, 7, 7, 2]

    def test_a_search_result_can_be_read_page_by_page(self, alice: Actor) -> None:
        for number in range(9):
            create_task(alice, title="ladder " * (number % 3 + 1), description="ladder")

        pages = list(self.read_pages(alice, TaskQuery({"q": "ladder"}, BEST_FIRST, limit=2)))

        assert sorted(task_id for page in pages for task_id in page) == sorted({i for page in pages for i in page})
        assert sum(map(len, pages)) == 9

    def test_changes_between_pages_neither_skip_nor_repeat_tasks(self, alice: Actor, bob: Actor) -> None:
        existing = [create_task(alice) for _ in range(20)]
        deleted = existing.pop(5)
        seen: list[int] = []

        for number, page in enumerate(self.read_pages(alice, TaskQuery(limit=4))):
            seen += page
            create_task(bob, assignee_id=alice.user_id)
            if number == 1:
                tasks.delete_task(alice, deleted)

        assert [task_id for task_id in seen if task_id != deleted] == existing[::-1]

    def test_a_full_last_page_has_no_next_cursor(self, alice: Actor) -> None:
        for _ in range(4):
            create_task(alice)

        assert [len(page) for page in self.read_pages(alice, TaskQuery(limit=2))] == [2, 2]

    @pytest.mark.parametrize(
        "cursor",
        [
            "x",
            "!",
            "é",
            base64.urlsafe_b64encode(b"[]").decode(),
            base64.urlsafe_b64encode(b'["-created_at,-id",["2026-05-01",1,2]]').decode(),
            base64.urlsafe_b64encode(b'["-created_at,-id",["yesterday",1]]').decode(),
            base64.urlsafe_b64encode(b'["-created_at,-id",[null,1]]').decode(),
            base64.urlsafe_b64encode(b'["-created_at,-id",["2026-05-01T09:00:00+00:00",9223372036854775808]]').decode(),
            base64.urlsafe_b64encode(b'["-created_at,-id",["2026-05-01T09:00:00+00:00","1; DROP"]]').decode(),
            base64.urlsafe_b64encode(b'["-created_at,-id",["2026-W01-1",1]]').decode(),
            base64.urlsafe_b64encode(b'["-created_at,-id",["2026-05-01T09:00:00+23:59",1]]').decode(),
            base64.urlsafe_b64encode(b'{"a":1}').decode(),
            "W" * 3000,
        ],
    )
    def test_a_forged_cursor_is_refused(self, cursor: str, alice: Actor) -> None:
        with pytest.raises(Invalid) as failure:
            task_lists.list_tasks(alice, TaskQuery(cursor=cursor))
        assert [error.field for error in failure.value.errors] == ["cursor"]

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("weather_risk", b"2001"),
            ("weather_risk", b"null"),
            ("status", b"1099511627776"),
            ("status", b"true"),
            ("relevance", b"1e300"),
            ("relevance", b"1e-300"),
        ],
    )
    def test_a_forged_value_in_a_cursor_is_refused(self, key: str, value: bytes, alice: Actor) -> None:
        cursor = base64.urlsafe_b64encode(b'["%s,id",[%s,1]]' % (key.encode(), value)).decode()

        with pytest.raises(Invalid):
            task_lists.list_tasks(alice, TaskQuery({"q": "x"}, (SortKey(key),), cursor=cursor))

    def test_a_cursor_is_refused_with_another_order(self, alice: Actor) -> None:
        for _ in range(3):
            create_task(alice)
        cursor = task_lists.list_tasks(alice, TaskQuery(limit=1)).next_cursor

        with pytest.raises(Invalid, match="not valid"):
            task_lists.list_tasks(alice, TaskQuery(sort=(SortKey("title"),), cursor=cursor))
