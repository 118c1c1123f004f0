"""Tasks over HTTP: statuses, bodies and headers, for each of the test users."""

import json
from typing import Any

import pytest

from core.db import unit_of_work
from core.models.place import Place, PlaceName
from core.policy import Actor
from tests.api.callers import TASKS, Caller, assert_problem, create_task, id_in, invalid_fields

PATHS = ["/api/v1/tasks", "/tasks"]
TASK_FIELDS = (
    "id title description status priority due_at due_on duration_minutes city place_id weather weather_status "
    "place forecast weather_rule weather_state auto_reschedule user_id assignee_id group_id completed "
    "completed_at created_at updated_at version"
).split()


@pytest.mark.parametrize("path", PATHS)
def test_a_created_task_has_all_fields_and_a_location(path: str, as_alice: Caller, alice: Actor) -> None:
    response = as_alice.post(path, json={"title": "Clean the gutters", "city": "London"})

    task = response.json()
    assert response.status_code == 201
    assert list(task) == TASK_FIELDS
    assert task["title"] == "Clean the gutters"
    assert (task["status"], task["priority"], task["completed"]) == ("todo", "medium", False)
    assert (task["city"], task["weather"], task["weather_status"]) == ("London", None, "pending")
    assert task["user_id"] == alice.user_id
    assert response.headers["Location"].endswith(f"{path}/{task['id']}")
    assert as_alice.get(f"{path}/{task['id']}").json() == task


@pytest.mark.parametrize("path", PATHS)
def test_a_trailing_slash_makes_no_difference(path: str, as_alice: Caller) -> None:
    task = as_alice.post(f"{path}/", json={"title": "x"}).json()

    assert as_alice.get(f"{path}/{task['id']}/").json() == task


def test_put_and_patch_change_only_given_fields(as_alice: Caller) -> None:
    task = create_task(as_alice, description="Before the rain", priority="high", city="London")
    path = f"/api/v1/tasks/{task['id']}"

    patched = as_alice.patch(path, json={"status": "done", "city": None}).json()
    put = as_alice.put(path, json={"title": "Anew", "description": None}).json()

    assert (patched["status"], patched["completed"], patched["priority"]) == ("done", True, "high")
    assert patched["completed_at"] is not None
    assert (patched["city"], patched["weather_status"]) == (None, None)
    assert (put["title"], put["description"]) == ("Anew", None)
    assert put == patched | {name: put[name] for name in ("title", "description", "updated_at", "version")}
    assert put["version"] == 3


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("body", "field"),
    [({"status": "done"}, "title"), ({"title": None}, "title"), ({"title": "x", "status": None}, "status")],
)
def test_a_put_needs_a_title_and_cannot_clear_the_status(
    body: dict[str, Any], field: str, path: str, as_alice: Caller
) -> None:
    task = create_task(as_alice)

    assert invalid_fields(as_alice.put(f"{path}/{task['id']}", json=body)) == [field]


def test_an_assignee_may_put_the_few_fields_that_an_earlier_client_knows(
    as_alice: Caller, as_bob: Caller, bob: Actor
) -> None:
    task = create_task(as_alice, assignee_id=bob.user_id, priority="high", due_at="2026-05-01T09:00:00Z", city="Oslo")

    response = as_bob.put(f"/tasks/{task['id']}", json={"title": "Row", "description": "Home", "status": "done"})

    kept = ("priority", "due_at", "city", "assignee_id", "user_id")
    assert response.status_code == 200
    assert {name: response.json()[name] for name in kept} == {name: task[name] for name in kept}


class TestCompleted:
    """`completed` is accepted wherever the status is."""

    @pytest.mark.parametrize(
        ("fields", "status"),
        [
            ({"completed": True}, "done"),
            ({"completed": False}, "todo"),
            ({"completed": True, "status": "done"}, "done"),
            ({"completed": False, "status": "in_progress"}, "in_progress"),
        ],
    )
    def test_a_new_task(self, fields: dict[str, Any], status: str, as_alice: Caller) -> None:
        task = create_task(as_alice, **fields)

        assert (task["status"], task["completed_at"] is not None) == (status, status == "done")

    @pytest.mark.parametrize("method", ["PUT", "PATCH"])
    @pytest.mark.parametrize(
        ("before", "completed", "after"),
        [
            ("todo", True, "done"),
            ("done", False, "todo"),
            ("in_progress", False, "in_progress"),
            ("done", True, "done"),
        ],
    )
    def test_a_change(self, before: str, completed: bool, after: str, method: str, as_alice: Caller) -> None:
        task = create_task(as_alice, status=before)
        changed = as_alice(method, f"{TASKS}/{task['id']}", json={"title": task["title"], "completed": completed})

        assert (changed.status_code, changed.json()["status"]) == (200, after)
        assert changed.json()["version"] == task["version"] + (before != after)

    @pytest.mark.parametrize("fields", [{"completed": True, "status": "todo"}, {"completed": False, "status": "done"}])
    def test_a_contradiction_is_refused_everywhere(self, fields: dict[str, Any], as_alice: Caller) -> None:
        path = f"{TASKS}/{create_task(as_alice)['id']}"
        body = {"title": "x"} | fields
        update = {"op": "update", "id": id_in(path), "task": fields}
        line = json.dumps(body).encode()

        refused = [as_alice.post(TASKS, json=body), as_alice.put(path, json=body), as_alice.patch(path, json=fields)]
        in_bulk = as_alice.post(f"{TASKS}/bulk", json={"operations": [update, {"op": "create", "task": body}]})
        imported = as_alice.post(f"{TASKS}/import", data=line, headers={"Content-Type": "application/jsonl"}).json()
        listed = as_alice.get(f"{TASKS}?status={fields['status']}&completed={json.dumps(fields['completed'])}")

        assert [invalid_fields(response) for response in [*refused, listed]] == [["completed"]] * 4
        assert invalid_fields(in_bulk) == ["operations.0.task.completed", "operations.1.task.completed"]
        assert [error["field"] for error in imported["errors"][0]["errors"]] == ["completed"]

    def test_bulk_changes_and_imports(self, as_alice: Caller) -> None:
        task = create_task(as_alice)
        operations = [
            {"op": "create", "task": {"title": "x", "completed": True}},
            {"op": "update", "id": task["id"], "task": {"completed": True}},
        ]
        results = as_alice.post(f"{TASKS}/bulk", json={"operations": operations}).json()["results"]
        table = b"title,completed\r\nImported,true\r\nOpen,false\r\n"
        report = as_alice.post(f"{TASKS}/import", data=table, headers={"Content-Type": "text/csv"}).json()

        assert [result["task"]["status"] for result in results] == ["done", "done"]
        assert report["created"] == 2
        assert [task["title"] for task in as_alice.get("/tasks?completed=true&q=imported").json()] == ["Imported"]

    def test_a_list_can_be_filtered(self, as_alice: Caller) -> None:
        for status in ("todo", "in_progress", "done"):
            create_task(as_alice, title=status, status=status)

        def titles(query: str) -> set[str]:
            return {task["title"] for task in as_alice.get(f"/tasks?{query}").json()}

        assert titles("completed=true") == {"done"}
        assert titles("completed=false") == {"todo", "in_progress"}
        assert titles("completed=false&status=todo,done") == {"todo"}

    def test_null_is_refused(self, as_alice: Caller) -> None:
        path = f"{TASKS}/{create_task(as_alice)['id']}"

        assert invalid_fields(as_alice.patch(path, json={"completed": None})) == ["completed"]


def test_patch_accepts_the_merge_patch_media_type(as_alice: Caller) -> None:
    task = create_task(as_alice)

    response = as_alice.patch(
        f"/api/v1/tasks/{task['id']}",
        data=b'{"title": "patched"}',
        headers={"Content-Type": "application/merge-patch+json"},
    )

    assert response.json()["title"] == "patched"


def test_a_deleted_task_gets_404(as_alice: Caller) -> None:
    path = f"/api/v1/tasks/{create_task(as_alice)['id']}"

    response = as_alice.delete(path)

    assert (response.status_code, response.content) == (204, b"")
    assert_problem(as_alice.get(path), 404, "task_not_found")


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", PATHS)
def test_a_stranger_gets_403_for_an_existing_task_and_404_for_a_missing_one(
    method: str, path: str, as_alice: Caller, as_mallory: Caller
) -> None:
    task = create_task(as_alice)
    body = {"json": {"title": "mine now"}} if method in {"PUT", "PATCH"} else {}

    assert_problem(as_mallory(method, f"{path}/{task['id']}", **body), 403, "task_forbidden")
    assert_problem(as_mallory(method, f"{path}/{task['id'] + 1000}", **body), 404, "task_not_found")
    assert as_alice.get(f"{path}/{task['id']}").json() == task


def test_an_assignee_can_work_on_a_task_but_not_reassign_or_delete_it(
    as_alice: Caller, as_bob: Caller, bob: Actor, alice: Actor
) -> None:
    path = f"/api/v1/tasks/{create_task(as_alice, assignee_id=bob.user_id)['id']}"

    assert as_bob.get(path).status_code == 200
    assert as_bob.patch(path, json={"status": "done"}).json()["completed"] is True
    assert_problem(as_bob.patch(path, json={"assignee_id": alice.user_id}), 403, "task_forbidden")
    assert_problem(as_bob.delete(path), 403, "task_forbidden")


def test_an_admin_sees_and_manages_all_tasks(as_alice: Caller, as_ada: Caller) -> None:
    task = create_task(as_alice)

    assert [item["id"] for item in as_ada.get("/api/v1/tasks").json()["items"]] == [task["id"]]
    assert as_ada.delete(f"/api/v1/tasks/{task['id']}").status_code == 204


@pytest.mark.parametrize("path", ["/api/v1/tasks", "/tasks", "/api/v1/tasks/1", "/tasks/1"])
def test_requests_without_a_token_are_refused(path: str, anybody: Caller) -> None:
    problem = anybody.get(path)

    assert_problem(problem, 401, "token_missing")
    assert problem.headers["WWW-Authenticate"].startswith("Bearer")


def test_authentication_is_checked_before_the_body(anybody: Caller) -> None:
    assert_problem(anybody.post("/api/v1/tasks", json={"titel": 1}), 401, "token_missing")


def test_all_field_errors_are_reported_together(as_alice: Caller) -> None:
    body = {"title": "", "status": "later", "due_at": "2026-05-01T09:00:00", "surprise": 1}

    problem = assert_problem(as_alice.post("/api/v1/tasks", json=body), 422, "invalid")

    assert {error["field"] for error in problem["errors"]} == {"title", "status", "due_at", "surprise"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", "x" * 256),
        ("title", None),
        ("title", "nul\x00"),
        ("description", "x" * 5001),
        ("due_at", "tomorrow"),
        ("city", "x" * 121),
        ("city", "\ufdfa" * 120),  # One character that is 18 in its normal form.
        ("city", "   "),
        ("assignee_id", 10**9),
        ("assignee_id", "1"),
        ("priority", "whatever"),
        ("place_id", 10**9),
        ("place_id", "1"),
    ],
)
def test_the_field_of_an_invalid_value_is_named(field: str, value: object, as_alice: Caller) -> None:
    response = as_alice.post("/api/v1/tasks", json={"title": "x"} | {field: value})

    assert [error["field"] for error in assert_problem(response, 422, "invalid")["errors"]] == [field]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"city": "Oslo", "place_id": 7}, "place_id"),
        ({"city": "Oslo", "latitude": 59.9, "longitude": 10.7}, "latitude"),
        ({"place_id": 7, "latitude": 59.9, "longitude": 10.7}, "latitude"),
        ({"latitude": 59.9}, "longitude"),
        ({"latitude": None, "longitude": 10.7}, "latitude"),
        ({"latitude": 90.1, "longitude": 0}, "latitude"),
        ({"latitude": 0, "longitude": -180.5}, "longitude"),
    ],
    ids=str,
)
def test_fields_that_contradict_each_other_about_the_place_are_refused(
    body: dict[str, Any], field: str, as_alice: Caller, task: str
) -> None:
    change = {"op": "update", "id": id_in(task), "task": body}

    assert invalid_fields(as_alice.post("/api/v1/tasks", json={"title": "x"} | body)) == [field]
    assert invalid_fields(as_alice.patch(task, json=body)) == [field]
    assert invalid_fields(as_alice.put(task, json={"title": "x"} | body)) == [field]
    bulk = as_alice.post("/api/v1/tasks/bulk", json={"operations": [change]})
    assert [name.rsplit(".", 1)[-1] for name in invalid_fields(bulk)] == [field]


def test_the_place_of_a_city_can_be_corrected(as_alice: Caller) -> None:
    with unit_of_work():
        france, texas = (
            Place.insert(reference=name, name="Paris", region=name, latitude=1, longitude=1).execute()
            for name in ("France", "Texas")
        )
        PlaceName.insert(key="paris", place_ids=[france, texas]).execute()
    task = create_task(as_alice, city="Paris")
    path = f"/api/v1/tasks/{task['id']}"

    corrected = as_alice.patch(path, json={"place_id": texas}).json()

    assert (task["city"], task["place"]["region"]) == ("Paris", "France")
    assert (corrected["city"], corrected["place"]["region"], corrected["weather_status"]) == (None, "Texas", "pending")
    assert invalid_fields(as_alice.patch(path, json={"place_id": 10**9})) == ["place_id"]
    bulk = as_alice.post("/api/v1/tasks/bulk", json={"operations": [
        {"op": "create", "task": {"title": "x", "place_id": texas}},
        {"op": "create", "task": {"title": "x", "place_id": 10**9}},
        {"op": "update", "id": task["id"], "task": {"latitude": 59.913, "longitude": 10.746}},
    ]}).json()["results"]  # fmt: skip
    assert [result["status"] for result in bulk] == [201, 422, 200]
    assert bulk[0]["task"]["place"]["region"] == "Texas"
    assert (bulk[2]["task"]["place"]["latitude"], bulk[2]["task"]["place"]["longitude"]) == (59.91, 10.75)


@pytest.mark.parametrize("identifier", ["0", "-1", "+5", "1_0", "१२", "9223372036854775808", "1.0", "abc", "%00"])
def test_an_invalid_id_gets_404(identifier: str, as_alice: Caller) -> None:
    assert as_alice.get(f"/api/v1/tasks/{identifier}").status_code == 404
