"""Who may access the delegations, comments, reminders and history of a task."""

from typing import Any

import pytest

from tests.api.callers import TASKS, Caller, assert_problem, id_in


@pytest.mark.parametrize(
    ("method", "part", "body"),
    [
        ("POST", "delegate", {"assignee_id": 1}),
        ("GET", "delegations", None),
        ("POST", "comments", {"body": "Hello"}),
        ("GET", "comments", None),
        ("PATCH", "comments/1", {"body": "Hello"}),
        ("DELETE", "comments/1", None),
        ("POST", "reminders", {"seconds_before_due": 60}),
        ("GET", "reminders", None),
        ("DELETE", "reminders/1", None),
        ("GET", "activity", None),
    ],
)
def test_strangers_get_403_and_missing_tasks_get_404(
    method: str, part: str, body: dict[str, Any] | None, task: str, as_mallory: Caller, as_ada: Caller, anybody: Caller
) -> None:
    missing = f"{TASKS}/{id_in(task) + 1000}/{part}"

    assert_problem(anybody(method, f"{task}/{part}", json=body), 401, "token_missing")
    assert_problem(as_mallory(method, f"{task}/{part}", json=body), 403, "task_forbidden")
    assert_problem(as_mallory(method, missing, json=body), 404, "task_not_found")
    assert_problem(as_ada(method, missing, json=body), 404, "task_not_found")
