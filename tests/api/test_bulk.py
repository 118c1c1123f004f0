"""Many changes of tasks in one request."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.api.callers import TASKS, Caller, assert_problem, create_task


def test_each_operation_has_its_own_result(as_alice: Caller, as_mallory: Caller) -> None:
    mine, other, foreign = create_task(as_alice), create_task(as_alice), create_task(as_mallory)

    response = as_alice.post(
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

    assert response.status_code == 200
    results = response.json()["results"]
    assert [result["status"] for result in results] == [201, 200, 412, 403, 200, 404, 422]
    assert results[0]["task"]["title"] == "new"
    assert results[1]["task"]["completed"] is True
    assert results[2]["problem"]["code"] == "version_mismatch"
    assert results[6]["problem"]["errors"][0]["field"] == "assignee_id"
    assert as_mallory.get(f"{TASKS}/{foreign['id']}").json()["title"] == "Clean the gutters"
    assert as_alice.get(TASKS).json()["total"] == 2


def test_an_atomic_request_changes_all_tasks_or_none(as_alice: Caller) -> None:
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
def test_an_invalid_request_is_refused_as_a_whole(operations: list[Any], field: str, as_alice: Caller) -> None:
    problem = assert_problem(as_alice.post(f"{TASKS}/bulk", json={"operations": operations}), 422, "invalid")

    assert field in [error["field"] for error in problem["errors"]]


def test_a_repeated_request_is_executed_once(as_alice: Caller) -> None:
    body = {"operations": [{"op": "create", "task": {"title": "new"}}]}
    bodies = [as_alice.post(f"{TASKS}/bulk", json=body, headers={"Idempotency-Key": "bulk"}).json() for _ in range(2)]

    assert bodies[0] == bodies[1]
    assert as_alice.get(TASKS).json()["total"] == 1


def test_requests_with_the_same_tasks_in_opposite_orders_do_not_deadlock(as_alice: Caller, as_ada: Caller) -> None:
    ids = [create_task(as_alice)["id"] for _ in range(20)]

    def rename(caller: Caller, order: list[int], title: str) -> requests.Response:
        operations = [{"op": "update", "id": task_id, "task": {"title": title}} for task_id in order]
        return caller.post(f"{TASKS}/bulk", json={"operations": operations})

    for number in range(5):
        with ThreadPoolExecutor(2) as pool:
            one = pool.submit(rename, as_alice, ids, f"one {number}")
            other = pool.submit(rename, as_ada, ids[::-1], f"other {number}")
        assert [one.result().status_code, other.result().status_code] == [200, 200]
