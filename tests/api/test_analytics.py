"""The analytics over HTTP."""

import pytest

from tests.api.callers import Caller, assert_problem, create_task

PATHS = ["/api/v1/analytics", "/analytics"]


@pytest.mark.parametrize("path", PATHS)
def test_one_sees_ones_own_figures(path: str, as_alice: Caller, as_mallory: Caller) -> None:
    create_task(as_alice)
    create_task(as_alice, status="done")

    answer = as_alice.get(path).json()

    assert set(answer) == {"by_status", "by_user", "as_of"}
    assert answer["by_status"] == {"todo": 1, "in_progress": 0, "done": 1}
    assert answer["by_user"] == {"alice": 2}
    assert as_mallory.get(path).json()["by_user"] == {}


def test_an_admin_sees_everyones(as_alice: Caller, as_bob: Caller, as_ada: Caller) -> None:
    create_task(as_alice)
    create_task(as_bob)

    assert as_ada.get("/analytics").json()["by_user"] == {"alice": 1, "bob": 1}


def test_a_span_of_days_bounds_the_figures(as_alice: Caller) -> None:
    create_task(as_alice)

    assert as_alice.get("/analytics?start_date=2020-01-01").json()["by_user"] == {"alice": 1}
    assert as_alice.get("/analytics?end_date=2020-01-01").json()["by_user"] == {}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("start_date=yesterday", "start_date"),
        ("end_date=2026-02-30", "end_date"),
        ("start_date=2026-05-02&end_date=2026-05-01", ""),
        ("from=2026-05-01", "from"),
    ],
)
def test_a_bad_span_is_named(query: str, field: str, as_alice: Caller) -> None:
    problem = assert_problem(as_alice.get(f"/analytics?{query}"), 422, "invalid")

    assert [error["field"] for error in problem["errors"]] == [field]


def test_nobody_sees_nothing(anybody: Caller) -> None:
    assert_problem(anybody.get("/analytics"), 401, "token_missing")
