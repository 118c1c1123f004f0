"""What client authors expect of any API: entity tags, safe repetition, many changes at once, pages by cursor."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from core.db import unit_of_work
from core.policy import Actor
from tests.api.callers import TASKS, Caller, assert_problem, create_task
from tests.sql import execute


class TestEntityTags:
    def test_the_tag_is_the_version(self, as_alice: Caller) -> None:
        created = as_alice.post(TASKS, json={"title": "x"})
        path = f"{TASKS}/{created.json()['id']}"
        changed = as_alice.patch(path, json={"title": "y"})

        assert created.headers["ETag"] == '"1"'
        assert changed.headers["ETag"] == '"2"'
        assert as_alice.get(path).headers["ETag"] == '"2"'
        assert as_alice.put(path, json={"title": "z"}).headers["ETag"] == '"3"'

    @pytest.mark.parametrize(
        ("tag", "status"), [('"1"', 304), ('W/"1"', 304), ("*", 304), ('"7", "1"', 304), ('"2"', 200), ("1x", 200)]
    )
    def test_what_the_client_has_is_not_sent_again(self, tag: str, status: int, as_alice: Caller) -> None:
        path = f"{TASKS}/{create_task(as_alice)['id']}"

        response = as_alice.get(path, headers={"If-None-Match": tag})

        assert response.status_code == status
        assert bool(response.content) == (status == 200)
        assert response.headers["ETag"] == '"1"'

    @pytest.mark.parametrize("tag", ['"1"', '"3"', 'W/"2"', "nonsense", '"x"', '""', '"' + "9" * 5000 + '"'])
    @pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
    def test_who_has_seen_another_version_changes_nothing(self, method: str, tag: str, as_alice: Caller) -> None:
        path = f"{TASKS}/{create_task(as_alice)['id']}"
        as_alice.patch(path, json={"title": "the second"})
        body = {} if method == "DELETE" else {"json": {"title": "lost update"}}

        assert_problem(as_alice(method, path, headers={"If-Match": tag}, **body), 412, "version_mismatch")

        assert as_alice.get(path).json()["title"] == "the second"

    @pytest.mark.parametrize("tag", ['"2"', "*", '"1", "2"'])
    def test_who_has_seen_this_version_changes_it(self, tag: str, as_alice: Caller) -> None:
        path = f"{TASKS}/{create_task(as_alice)['id']}"
        as_alice.patch(path, json={"title": "the second"})

        assert as_alice.patch(path, json={"title": "the third"}, headers={"If-Match": tag}).status_code == 200
        assert as_alice.delete(path, headers={"If-Match": '"3"'}).status_code == 204

    def test_of_two_who_saw_the_same_version_one_wins(self, as_alice: Caller, as_ada: Caller) -> None:
        path = f"{TASKS}/{create_task(as_alice)['id']}"

        with ThreadPoolExecutor(2) as pool:
            answers = list(
                pool.map(
                    lambda caller: caller.patch(path, json={"title": "mine"}, headers={"If-Match": '"1"'}),
                    [as_alice, as_ada],
                )
            )

        statuses = sorted(answer.status_code for answer in answers)
        # The second may also come when the title has become what it wants: then it has lost all the same.
        assert statuses == [200, 412]


class TestRepetition:
    def post(self, caller: Caller, key: str, path: str = TASKS, **body: Any) -> requests.Response:
        return caller.post(path, json={"title": "once"} | body, headers={"Idempotency-Key": key})

    def test_the_same_request_is_answered_the_same_and_done_once(self, as_alice: Caller) -> None:
        first = self.post(as_alice, "key-1")
        again = self.post(as_alice, "key-1")

        assert (first.status_code, again.status_code) == (201, 201)
        assert again.json() == first.json()
        assert again.headers["Location"] == first.headers["Location"]
        assert again.headers["ETag"] == first.headers["ETag"]
        assert "Idempotency-Replayed" not in first.headers
        assert again.headers["Idempotency-Replayed"] == "true"
        assert as_alice.get(TASKS).json()["total"] == 1

    def test_the_paths_with_and_without_a_version_are_one_route(self, as_alice: Caller) -> None:
        first = self.post(as_alice, "key-1")

        assert self.post(as_alice, "key-1", "/tasks").json() == first.json()

    def test_many_at_once_make_one(self, as_alice: Caller) -> None:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: self.post(as_alice, "key-1"), range(16)))

        for answer in answers:
            if answer.status_code != 201:
                assert_problem(answer, 409, "idempotency_key_in_use")
        assert len({answer.json()["id"] for answer in answers if answer.status_code == 201}) == 1
        assert as_alice.get(TASKS).json()["total"] == 1

    def test_another_request_under_the_same_key_is_refused(self, as_alice: Caller) -> None:
        self.post(as_alice, "key-1")

        problem = assert_problem(self.post(as_alice, "key-1", title="another"), 422, "idempotency_key_reused")
        assert [error["field"] for error in problem["errors"]] == ["Idempotency-Key"]

    def test_a_key_belongs_to_its_user_and_its_route(self, as_alice: Caller, as_bob: Caller) -> None:
        task = self.post(as_alice, "key-1").json()
        others = self.post(as_bob, "key-1").json()
        comment = as_alice.post(
            f"{TASKS}/{task['id']}/comments", json={"body": "x"}, headers={"Idempotency-Key": "key-1"}
        )

        assert others["id"] != task["id"]
        assert comment.status_code == 201

    def test_what_failed_may_be_tried_again(self, as_alice: Caller, bob: Actor) -> None:
        with unit_of_work():
            execute("UPDATE users SET is_active = false WHERE id = %s", (bob.user_id,))
        assert_problem(self.post(as_alice, "key-1", assignee_id=bob.user_id), 422, "invalid")
        with unit_of_work():
            execute("UPDATE users SET is_active = true WHERE id = %s", (bob.user_id,))

        assert self.post(as_alice, "key-1", assignee_id=bob.user_id).status_code == 201

    def test_a_day_later_the_key_is_new(self, as_alice: Caller) -> None:
        first = self.post(as_alice, "key-1").json()
        with unit_of_work():
            execute("UPDATE idempotency_keys SET created_at = now() - interval '24 hours'")

        assert self.post(as_alice, "key-1", title="another").json()["id"] != first["id"]

    @pytest.mark.parametrize("key", ["x" * 256, "two words", "clé".encode()])
    def test_a_key_is_visible_ascii(self, key: str | bytes, as_alice: Caller) -> None:
        response = as_alice.post(TASKS, json={"title": "x"}, headers={"Idempotency-Key": key})

        assert_problem(response, 422, "invalid")

    def test_a_replay_needs_no_redis(self, as_alice: Caller) -> None:
        """The answer is kept in the transaction that created the task."""
        first = self.post(as_alice, "key-1").json()

        assert execute("SELECT created_id, key FROM idempotency_keys").fetchall() == [(first["id"], "key-1")]


class TestBulk:
    def test_each_operation_has_a_result_of_its_own(self, as_alice: Caller, as_mallory: Caller) -> None:
        mine, other, foreign = create_task(as_alice), create_task(as_alice), create_task(as_mallory)

        answer = as_alice.post(
            f"{TASKS}/bulk",
            json={
                "operations": [
                    {"op": "create", "task": {"title": "new"}},
                    {"op": "update", "id": mine["id"], "task": {"status": "done"}},
                    {"op": "update", "id": other["id"], "task": {"title": "late"}, "version": 7},
                    {"op": "update", "id": foreign["id"], "task": {"title": "stolen"}},
                    {"op": "delete", "id": other["id"]},
                    {"op": "delete", "id": other["id"]},
                    {"op": "create", "task": {"title": "for nobody", "assignee_id": 10**9}},
                ]
            },
        )

        assert answer.status_code == 200
        results = answer.json()["results"]
        assert [result["status"] for result in results] == [201, 200, 412, 403, 200, 404, 422]
        assert results[0]["task"]["title"] == "new"
        assert results[1]["task"]["completed"] is True
        assert results[2]["problem"]["code"] == "version_mismatch"
        assert results[6]["problem"]["errors"][0]["field"] == "assignee_id"
        assert as_mallory.get(f"{TASKS}/{foreign['id']}").json()["title"] == "Clean the gutters"
        assert as_alice.get(TASKS).json()["total"] == 2

    def test_atomic_means_all_or_none(self, as_alice: Caller) -> None:
        task = create_task(as_alice)
        operations = [
            {"op": "update", "id": task["id"], "task": {"title": "changed"}},
            {"op": "create", "task": {"title": "new"}},
            {"op": "delete", "id": 10**9},
        ]

        problem = assert_problem(
            as_alice.post(f"{TASKS}/bulk", json={"operations": operations, "atomic": True}), 404, "task_not_found"
        )

        assert problem["operation"] == 2
        assert as_alice.get(TASKS).json()["items"] == [task]
        done = as_alice.post(f"{TASKS}/bulk", json={"operations": operations[:2], "atomic": True}).json()
        assert [result["status"] for result in done["results"]] == [200, 201]

    @pytest.mark.parametrize(
        ("operations", "field"),
        [
            ([], "operations"),
            ([{"op": "delete", "id": 1}] * 101, "operations"),
            ([{"op": "delete", "id": 1}, {"op": "create", "task": {"title": ""}}], "operations.1.task.title"),
            ([{"op": "burn", "id": 1}], "operations.0"),
            ([{"id": 1}], "operations.0"),
            ([{"op": "update", "id": 0, "task": {}}], "operations.0.id"),
        ],
    )
    def test_a_malformed_request_does_nothing(self, operations: list[Any], field: str, as_alice: Caller) -> None:
        problem = assert_problem(as_alice.post(f"{TASKS}/bulk", json={"operations": operations}), 422, "invalid")

        assert field in [error["field"] for error in problem["errors"]]

    def test_it_can_be_repeated_safely(self, as_alice: Caller) -> None:
        body = {"operations": [{"op": "create", "task": {"title": "new"}}]}
        answers = [
            as_alice.post(f"{TASKS}/bulk", json=body, headers={"Idempotency-Key": "bulk"}).json() for _ in range(2)
        ]

        assert answers[0] == answers[1]
        assert as_alice.get(TASKS).json()["total"] == 1

    def test_two_that_change_the_same_tasks_in_opposite_orders_do_not_lock_each_other_out(
        self, as_alice: Caller, as_ada: Caller
    ) -> None:
        ids = [create_task(as_alice)["id"] for _ in range(20)]

        def rename(caller: Caller, order: list[int], title: str) -> requests.Response:
            operations = [{"op": "update", "id": task_id, "task": {"title": title}} for task_id in order]
            return caller.post(f"{TASKS}/bulk", json={"operations": operations})

        for number in range(5):
            with ThreadPoolExecutor(2) as pool:
                one = pool.submit(rename, as_alice, ids, f"one {number}")
                other = pool.submit(rename, as_ada, ids[::-1], f"other {number}")
            assert [one.result().status_code, other.result().status_code] == [200, 200]


class TestPages:
    def test_a_cursor_leads_through_all_pages(self, as_alice: Caller) -> None:
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

    def test_the_link_of_a_page_by_cursor_leads_to_the_next(self, as_alice: Caller) -> None:
        for _ in range(5):
            create_task(as_alice)
        first = as_alice.get(TASKS, params={"limit": "2"}).json()

        second = as_alice.get(TASKS, params={"limit": "2", "cursor": first["next_cursor"]})
        third = as_alice.get(second.links["next"]["url"])

        assert len(third.json()["items"]) == 1
        assert "next" not in third.links

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("cursor=x", "cursor"),
            ("skip=1&cursor=x", ""),
            ("sort=relevance", ""),
            ("q=", "q"),
            ("overdue=maybe", "overdue"),
        ],
    )
    def test_a_bad_query_is_named(self, query: str, field: str, as_alice: Caller) -> None:
        problem = assert_problem(as_alice.get(f"{TASKS}?{query}"), 422, "invalid")

        assert [error["field"] for error in problem["errors"]] == [field]

    def test_search_and_overdue(self, as_alice: Caller) -> None:
        create_task(as_alice, title="Paint the fence", due_at="2026-01-01T00:00:00Z")
        create_task(as_alice, title="Paint", due_at="2096-01-01T00:00:00Z")
        create_task(as_alice, title="Fence off the fence", status="done", due_at="2026-01-01T00:00:00Z")

        def titles(query: str) -> list[str]:
            return [task["title"] for task in as_alice.get(f"{TASKS}?{query}").json()["items"]]

        assert titles("q=fence") == ["Fence off the fence", "Paint the fence"]
        assert titles("overdue=true") == ["Paint the fence"]
        assert titles("overdue=false&sort=title") == ["Fence off the fence", "Paint"]
