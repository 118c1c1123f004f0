"""The header `Idempotency-Key`: a repeated request is executed once and gets the same response."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from core.db import unit_of_work
from core.policy import Actor
from tests.api.callers import TASKS, Caller, assert_problem
from tests.sql import execute


def post(caller: Caller, key: str, path: str = TASKS, **body: Any) -> requests.Response:
    return caller.post(path, json={"title": "once"} | body, headers={"Idempotency-Key": key})


def test_a_repeated_request_is_executed_once_and_gets_the_same_response(as_alice: Caller) -> None:
    first = post(as_alice, "key-1")
    again = post(as_alice, "key-1")

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again.headers["Location"] == first.headers["Location"]
    assert again.headers["ETag"] == first.headers["ETag"]
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert as_alice.get(TASKS).json()["total"] == 1


def test_the_paths_with_and_without_a_version_are_one_route(as_alice: Caller) -> None:
    first = post(as_alice, "key-1")

    assert post(as_alice, "key-1", "/tasks").json() == first.json()


def test_many_parallel_requests_create_one_task(as_alice: Caller) -> None:
    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(lambda _: post(as_alice, "key-1"), range(16)))

    for response in responses:
        if response.status_code != 201:
            assert_problem(response, 409, "idempotency_key_in_use")
    assert len({response.json()["id"] for response in responses if response.status_code == 201}) == 1
    assert as_alice.get(TASKS).json()["total"] == 1


def test_another_request_with_the_same_key_is_refused(as_alice: Caller) -> None:
    post(as_alice, "key-1")

    problem = assert_problem(post(as_alice, "key-1", title="another"), 422, "idempotency_key_reused")
    assert [error["field"] for error in problem["errors"]] == ["Idempotency-Key"]


def test_a_key_belongs_to_its_user_and_its_route(as_alice: Caller, as_bob: Caller) -> None:
    task = post(as_alice, "key-1").json()
    others = post(as_bob, "key-1").json()
    comment = as_alice.post(f"{TASKS}/{task['id']}/comments", json={"body": "x"}, headers={"Idempotency-Key": "key-1"})

    assert others["id"] != task["id"]
    assert comment.status_code == 201


def test_a_failed_request_can_be_retried_with_the_same_key(as_alice: Caller, bob: Actor) -> None:
    with unit_of_work():
        execute("UPDATE users SET is_active = false WHERE id = %s", (bob.user_id,))
    assert_problem(post(as_alice, "key-1", assignee_id=bob.user_id), 422, "invalid")
    with unit_of_work():
        execute("UPDATE users SET is_active = true WHERE id = %s", (bob.user_id,))

    assert post(as_alice, "key-1", assignee_id=bob.user_id).status_code == 201


def test_a_key_can_be_used_again_after_a_day(as_alice: Caller) -> None:
    first = post(as_alice, "key-1").json()
    with unit_of_work():
        execute("UPDATE idempotency_keys SET created_at = now() - interval '24 hours'")

    assert post(as_alice, "key-1", title="another").json()["id"] != first["id"]


@pytest.mark.parametrize("key", ["x" * 256, "two words", "clé".encode()])
def test_a_key_must_be_visible_ascii(key: str | bytes, as_alice: Caller) -> None:
    response = as_alice.post(TASKS, json={"title": "x"}, headers={"Idempotency-Key": key})

    assert_problem(response, 422, "invalid")


def test_keys_are_stored_in_the_database(as_alice: Caller) -> None:
    """The key is stored in the transaction that creates the task, so replaying does not depend on Redis."""
    first = post(as_alice, "key-1").json()

    assert execute("SELECT created_id, key FROM idempotency_keys").fetchall() == [(first["id"], "key-1")]
