"""Feedback: every logged-in user can give it, and only admins can read it."""

from typing import Any

import pytest

from core.policy import Actor
from tests.api.callers import Caller, assert_problem
from tests.builders import PASSWORD

PATH = "/api/v1/feedback"


def give(caller: Caller, rating: int, message: str | None = None) -> dict[str, Any]:
    response = caller.post(PATH, json={"rating": rating, "message": message})
    assert response.status_code == 201, response.text
    given: dict[str, Any] = response.json()
    return given


def test_feedback_is_stored_with_its_author(as_alice: Caller, alice: Actor) -> None:
    given = give(as_alice, 5, "  I am never rained on. ☀ ")

    assert list(given) == ["id", "user_id", "rating", "message", "created_at"]
    assert (given["user_id"], given["rating"], given["message"]) == (alice.user_id, 5, "I am never rained on. ☀")
    assert as_alice.post(PATH, json={"rating": 1}).json()["message"] is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "rating"),
        ({"rating": 0}, "rating"),
        ({"rating": 6}, "rating"),
        ({"rating": 4.5}, "rating"),
        ({"rating": "5"}, "rating"),
        ({"rating": True}, "rating"),
        ({"rating": 5, "message": " "}, "message"),
        ({"rating": 5, "message": "x" * 5001}, "message"),
        ({"rating": 5, "message": "\x00"}, "message"),
        ({"rating": 5, "user_id": 1}, "user_id"),
    ],
)
def test_invalid_fields_are_named(body: dict[str, Any], field: str, as_alice: Caller) -> None:
    problem = assert_problem(as_alice.post(PATH, json=body), 422, "invalid")

    assert [error["field"] for error in problem["errors"]] == [field]


def test_an_admin_reads_pages_newest_first(as_alice: Caller, as_bob: Caller, as_ada: Caller) -> None:
    oldest, middle, newest = give(as_alice, 2, "Slow."), give(as_bob, 5), give(as_alice, 2, "Still slow.")

    everything = as_ada.get(PATH)
    poor = as_ada.get(f"{PATH}?rating=2&limit=1")

    assert everything.json() == {"items": [newest, middle, oldest], "total": 3, "skip": 0, "limit": 100}
    assert everything.headers["X-Total-Count"] == "3"
    assert poor.json() == {"items": [newest], "total": 2, "skip": 0, "limit": 1}
    assert as_ada.get(f"{PATH}?rating=2&skip=1").json()["items"] == [oldest]
    assert as_ada.get(f"{PATH}?skip=3").json()["items"] == []
    assert_problem(as_ada.get(f"{PATH}?rating=6"), 422, "invalid")


def test_only_admins_read_feedback_and_giving_it_needs_a_token(as_alice: Caller, anybody: Caller) -> None:
    assert_problem(as_alice.get(PATH), 403, "admin_required")
    assert_problem(anybody.get(PATH), 401, "token_missing")
    assert_problem(anybody.post(PATH, json={"rating": 1}), 401, "token_missing")


def test_feedback_is_exported_and_is_kept_when_the_account_is_deleted(as_alice: Caller, as_ada: Caller) -> None:
    given = give(as_alice, 1, "I am leaving.")

    assert as_alice.get("/api/v1/users/me/export").json()["feedback"] == [given]
    assert as_alice.post("/api/v1/users/me/delete", json={"current_password": PASSWORD}).status_code == 204

    assert as_ada.get(PATH).json()["items"] == [given | {"user_id": None}]
