"""The analytics over HTTP."""

import pytest

from tests.api.callers import Caller, assert_problem, create_task

PATHS = ["/api/v1/analytics", "/analytics"]


@pytest.mark.parametrize("path", PATHS)
def test_users_see_figures_of_their_own_tasks(path: str, as_alice: Caller, as_mallory: Caller) -> None:
    create_task(as_alice)
    create_task(as_alice, status="done")

    body = as_alice.get(path).json()

    assert set(body) == {"by_status", "by_user", "as_of"}
    assert body["by_status"] == {"todo": 1, "in_progress": 0, "done": 1}
    assert body["by_user"] == {"alice": 2}
    assert as_mallory.get(path).json()["by_user"] == {}


def test_an_admin_sees_the_figures_of_all_users(as_alice: Caller, as_bob: Caller, as_ada: Caller) -> None:
    create_task(as_alice)
    create_task(as_bob)

    assert as_ada.get("/analytics").json()["by_user"] == {"alice": 1, "bob": 1}


def test_start_and_end_dates_limit_the_figures(as_alice: Caller) -> None:
    create_task(as_alice)

    assert as_alice.get("/analytics?start_date=2020-01-01").json()["by_user"] == {"alice": 1}
    assert as_alice.get("/analytics?end_date=2020-01-01").json()["by_user"] == {}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("start_date=yesterday", "start_date"),
        ("end_date=2026-02-30", "end_date"),
        ("start_date=2026-05-02&end_date=2026-05-01", "end_date"),
        ("from=2026-05-01", "from"),
    ],
)
def test_invalid_dates_are_refused_with_the_field(query: str, field: str, as_alice: Caller) -> None:
    problem = assert_problem(as_alice.get(f"/analytics?{query}"), 422, "invalid")

    assert [error["field"] for error in problem["errors"]] == [field]


def test_without_a_token_analytics_are_refused(anybody: Caller) -> None:
    assert_problem(anybody.get("/analytics"), 401, "token_missing")
