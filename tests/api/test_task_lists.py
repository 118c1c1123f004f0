"""Lists of tasks over HTTP: their two forms, filters, orders, and pages by number and by cursor."""

import pytest
import requests

from core.policy import Actor
from tests.api.callers import TASKS, Caller, assert_problem, create_task, invalid_fields


class TestLists:
    def test_the_object_and_the_array_contain_the_same_tasks_newest_first(self, as_alice: Caller) -> None:
        ids = [create_task(as_alice, title=title)["id"] for title in ("first", "second", "third")]

        envelope = as_alice.get("/api/v1/tasks")
        array = as_alice.get("/tasks")

        assert [task["id"] for task in envelope.json()["items"]] == ids[::-1]
        assert envelope.json() | {"items": None} == {
            "items": None,
            "total": 3,
            "skip": 0,
            "limit": 100,
            "next_cursor": None,
        }
        assert array.json() == envelope.json()["items"]
        assert array.headers["X-Total-Count"] == envelope.headers["X-Total-Count"] == "3"

    def test_the_filters_and_the_order_of_the_weather_take_only_what_they_know(self, as_alice: Caller) -> None:
        create_task(as_alice, weather_rule={"max_wind": 30})

        for query in ("weather_state=ok,warned", "rain_above=0"):
            assert as_alice.get(f"{TASKS}?{query}").json()["items"] == []
        assert len(as_alice.get(f"{TASKS}?sort=-weather_risk,title").json()["items"]) == 1
        assert invalid_fields(as_alice.get(f"{TASKS}?weather_state=ok,bad")) == ["weather_state.1"]
        for percent in ("101", "1.5", "-1"):
            assert invalid_fields(as_alice.get(f"{TASKS}?rain_above={percent}")) == ["rain_above"]

    def test_pages_link_to_their_neighbours(self, as_alice: Caller) -> None:
        for number in range(5):
            create_task(as_alice, title=f"task {number}")

        page = as_alice.get("/api/v1/tasks?skip=2&limit=2&status=todo,done&sort=title")
        links = page.links

        assert [task["title"] for task in page.json()["items"]] == ["task 2", "task 3"]
        assert set(links) == {"first", "prev", "next"}
        following = as_alice.get(
            "/" + links["next"]["url"].split("/", 3)[3] if "://" in links["next"]["url"] else links["next"]["url"]
        )
        assert [task["title"] for task in following.json()["items"]] == ["task 4"]
        assert "next" not in following.links

    def test_a_page_beyond_the_end_is_empty(self, as_alice: Caller) -> None:
        create_task(as_alice)

        assert as_alice.get("/api/v1/tasks?skip=5000").json()["items"] == []

    def test_users_see_own_and_assigned_tasks(
        self, as_alice: Caller, as_bob: Caller, as_mallory: Caller, bob: Actor
    ) -> None:
        create_task(as_alice, title="private")
        create_task(as_alice, title="shared", assignee_id=bob.user_id)

        assert [task["title"] for task in as_bob.get("/tasks").json()] == ["shared"]
        assert as_mallory.get("/tasks").json() == []

    @pytest.mark.parametrize(
        ("query", "titles"),
        [
            ("status=done", ["b"]),
            ("status=todo,done&sort=title", ["a", "b"]),
            ("priority=urgent", ["c"]),
            ("city=lOnDoN", ["a"]),
            ("sort=-priority", ["c", "b", "a"]),
            ("sort=status,-title", ["a", "c", "b"]),
            ("created_from=2020-01-01&created_to=2020-12-31", []),
            ("created_from=2020-01-01T00:00:00Z&sort=title", ["a", "b", "c"]),
        ],
    )
    def test_filters_and_sorts(self, query: str, titles: list[str], as_alice: Caller) -> None:
        create_task(as_alice, title="a", priority="low", city="London")
        create_task(as_alice, title="b", status="done")
        create_task(as_alice, title="c", status="in_progress", priority="urgent")

        assert [task["title"] for task in as_alice.get(f"/tasks?{query}").json()] == titles

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("skip=-1", "skip"),
            ("limit=0", "limit"),
            ("limit=1001", "limit"),
            ("limit=1_0", "limit"),
            ("skip=99999999999999999999", "skip"),
            ("sort=password_hash", "sort"),
            ("sort=title,-title", "sort"),
            ("status=later", "status.0"),
            ("created_from=2026-05-01T00:00:00", "created_from"),
            ("user_id=-1", "user_id"),
            ("colour=red", "colour"),
            ("limit=1&limit=2", "limit"),
            ("cursor=x", "cursor"),
            ("skip=1&cursor=x", ""),
            ("sort=relevance", "sort"),
            ("q=", "q"),
            ("overdue=maybe", "overdue"),
        ],
    )
    def test_invalid_query_parameters_are_named(self, query: str, field: str, as_alice: Caller) -> None:
        problem = assert_problem(as_alice.get(f"/api/v1/tasks?{query}"), 422, "invalid")

        assert [error["field"] for error in problem["errors"]] == [field]

    @pytest.mark.parametrize("repeated", ["-", "- ", "-("])
    def test_a_search_of_many_signs_is_served(self, repeated: str, as_alice: Caller) -> None:
        found = create_task(as_alice, title="Clean the gutters")
        create_task(as_alice, title="Clean the roof")

        signs = as_alice.get(TASKS, params={"q": (repeated * 200)[:200]})
        without = as_alice.get(TASKS, params={"q": "clean " + repeated * 40 + "roof"})

        assert signs.status_code == 200, signs.text
        assert [task["id"] for task in without.json()["items"]] == [found["id"]]

    def test_search_and_overdue(self, as_alice: Caller) -> None:
        create_task(as_alice, title="Paint the fence", due_at="2026-01-01T00:00:00Z")
        create_task(as_alice, title="Paint", due_at="2096-01-01T00:00:00Z")
        create_task(as_alice, title="Fence off the fence", status="done", due_at="2026-01-01T00:00:00Z")

        def titles(query: str) -> list[str]:
            return [task["title"] for task in as_alice.get(f"{TASKS}?{query}").json()["items"]]

        assert titles("q=fence") == ["Fence off the fence", "Paint the fence"]
        assert titles("overdue=true") == ["Paint the fence"]
        assert titles("overdue=false&sort=title") == ["Fence off the fence", "Paint"]


class TestTotals:
    @pytest.fixture(autouse=True)
    def _tasks(self, as_alice: Caller) -> None:
        for number in range(3):
            create_task(as_alice, title=f"task {number}")

    @pytest.mark.parametrize(
        "query", ["", "limit=2", "count=exact&limit=2", "skip=2&limit=1", "skip=3", "q=task&limit=1"]
    )
    def test_a_list_has_the_total_of_all_pages(self, query: str, as_alice: Caller) -> None:
        page = as_alice.get(f"{TASKS}?{query}")

        assert (page.json()["total"], page.headers["X-Total-Count"]) == (3, "3")

    @pytest.mark.parametrize("path", [TASKS, "/tasks"])
    def test_without_a_count_the_links_lead_to_all_tasks(self, path: str, as_alice: Caller) -> None:
        address = f"{path}?count=none&limit=2"
        first = as_alice.get(address)
        second = as_alice.get(first.links["next"]["url"])

        assert [items(page) for page in (first, second)] == [["task 2", "task 1"], ["task 0"]]
        assert "next" not in second.links
        assert not any("X-Total-Count" in page.headers for page in (first, second))

    def test_without_a_count_the_total_is_null(self, as_alice: Caller) -> None:
        page = as_alice.get(f"{TASKS}?count=none").json()

        assert (page["total"], len(page["items"])) == (None, 3)

    @pytest.mark.parametrize("value", ["", "estimated", "None"])
    def test_other_ways_to_count_are_refused(self, value: str, as_alice: Caller) -> None:
        problem = assert_problem(as_alice.get(f"{TASKS}?count={value}"), 422, "invalid")

        assert [error["field"] for error in problem["errors"]] == ["count"]


def items(page: requests.Response) -> list[str]:
    content = page.json()
    return [task["title"] for task in (content if isinstance(content, list) else content["items"])]


class TestCursors:
    def test_all_pages_can_be_read_with_cursors(self, as_alice: Caller) -> None:
        ids = [create_task(as_alice)["id"] for _ in range(5)]
        seen: list[int] = []
        cursor: str | None = None
        while True:
            parameters = {"limit": "2"} | ({} if cursor is None else {"cursor": cursor})
            page = as_alice.get(TASKS, params=parameters).json()
            assert page["total"] == 5
            seen += [task["id"] for task in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break

        assert seen == ids[::-1]

    def test_the_next_link_of_a_page_read_by_cursor_returns_the_next_page(self, as_alice: Caller) -> None:
        for _ in range(5):
            create_task(as_alice)
        first = as_alice.get(TASKS, params={"limit": "2"}).json()

        second = as_alice.get(TASKS, params={"limit": "2", "cursor": first["next_cursor"]})
        third = as_alice.get(second.links["next"]["url"])

        assert len(third.json()["items"]) == 1
        assert "next" not in third.links
