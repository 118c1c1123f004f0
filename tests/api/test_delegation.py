"""Delegating a task over HTTP."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from core import events
from core.db import unit_of_work
from core.policy import Actor
from core.services import groups
from tests.api.callers import Caller, assert_problem, create_task_at, id_in, invalid_fields
from tests.builders import create_actor, create_group
from tests.recorded import recorded_events
from tests.sql import execute


@pytest.fixture
def dora(database: None) -> Actor:
    """One more user, to whom tasks are delegated."""
    return create_actor("dora")


def test_an_assignee_who_delegates_a_task_loses_access(
    task: str, as_bob: Caller, as_alice: Caller, bob: Actor, dora: Actor, caller_for: Any
) -> None:
    response = as_bob.post(f"{task}/delegate", json={"assignee_id": dora.user_id, "note": "You know the roof."})

    assert response.status_code == 200
    assert response.json()["assignee_id"] == dora.user_id
    assert response.headers["ETag"] == as_alice.get(task).headers["ETag"] == '"2"'
    assert response.json() == caller_for(dora).get(task).json()
    assert_problem(as_bob.get(task), 403, "task_forbidden")
    assert_problem(as_bob.post(f"{task}/delegate", json={"assignee_id": bob.user_id}), 403, "task_forbidden")


def test_an_assignee_in_the_group_of_the_task_keeps_access(as_bob: Caller, bob: Actor, ada: Actor) -> None:
    group_id = create_group(ada)
    groups.put_member(ada, group_id, bob.user_id, is_manager=False)
    task = create_task_at(as_bob, group_id=group_id, assignee_id=bob.user_id)

    assert as_bob.post(f"{task}/delegate", json={"assignee_id": ada.user_id}).status_code == 200
    assert as_bob.get(task).status_code == 200


def test_delegations_are_listed_in_order(
    task: str, as_bob: Caller, as_alice: Caller, as_ada: Caller, alice: Actor, bob: Actor, ada: Actor
) -> None:
    as_bob.post(f"{task}/delegate", json={"assignee_id": ada.user_id, "note": "Крыша, bitte ☔"})
    as_ada.post(f"{task}/delegate", json={"assignee_id": alice.user_id})
    as_alice.patch(task, json={"assignee_id": None})
    as_alice.post(f"{task}/delegate", json={"assignee_id": bob.user_id, "note": ""})

    trail = as_bob.get(f"{task}/delegations").json()

    assert [(step["actor_id"], step["from_id"], step["to_id"], step["note"]) for step in trail] == [
        (bob.user_id, bob.user_id, ada.user_id, "Крыша, bitte ☔"),
        (ada.user_id, ada.user_id, alice.user_id, None),
        (alice.user_id, None, bob.user_id, ""),
    ]
    assert list(trail[0]) == "id actor_id from_id to_id note created_at".split()


def test_a_task_without_delegations_has_an_empty_list(task: str, as_alice: Caller) -> None:
    assert as_alice.get(f"{task}/delegations").json() == []


def test_a_delegation_records_an_update_event_and_a_delegation_event(
    task: str, as_bob: Caller, alice: Actor, bob: Actor, dora: Actor
) -> None:
    body = as_bob.post(f"{task}/delegate", json={"assignee_id": dora.user_id, "note": "Please"}).json()

    ((_, *updated, data),) = recorded_events(id_in(task), kind=events.TASK_UPDATED)
    ((_, *delegated, delegated_data),) = recorded_events(id_in(task), kind=events.TASK_DELEGATED)
    assert updated == delegated == [bob.user_id, [alice.user_id, dora.user_id]]
    assert data == body
    assert delegated_data == body | {"delegation": {"from_id": bob.user_id, "to_id": dora.user_id, "note": "Please"}}


def test_an_invalid_delegation_is_refused_and_changes_nothing(
    task: str, as_bob: Caller, as_alice: Caller, bob: Actor, dora: Actor
) -> None:
    with unit_of_work():
        execute("UPDATE users SET is_active = false WHERE id = %s", (dora.user_id,))

    for assignee in (dora.user_id, bob.user_id, dora.user_id + 1000, None, "1"):
        assert invalid_fields(as_bob.post(f"{task}/delegate", json={"assignee_id": assignee})) == ["assignee_id"]
    too_long = {"assignee_id": dora.user_id, "note": "x" * 1001}
    assert invalid_fields(as_bob.post(f"{task}/delegate", json=too_long)) == ["note"]
    assert as_alice.get(task).json()["version"] == 1
    assert as_alice.get(f"{task}/delegations").json() == []


def test_an_outdated_version_is_refused(task: str, as_bob: Caller, dora: Actor, alice: Actor) -> None:
    as_bob.patch(task, json={"status": "in_progress"})
    stale = as_bob.post(f"{task}/delegate", json={"assignee_id": dora.user_id}, headers={"If-Match": '"1"'})
    present = as_bob.post(f"{task}/delegate", json={"assignee_id": dora.user_id}, headers={"If-Match": '"2"'})

    assert_problem(stale, 412, "version_mismatch")
    assert present.json()["version"] == 3


def test_only_one_of_several_parallel_delegations_succeeds(
    task: str, caller_for: Callable[[Actor], Caller], bob: Actor, as_alice: Caller
) -> None:
    others = [create_actor(f"other{number}") for number in range(4)]
    callers = [caller_for(bob) for _ in others]

    with ThreadPoolExecutor(4) as pool:
        statuses = list(
            pool.map(
                lambda pair: pair[0].post(f"{task}/delegate", json={"assignee_id": pair[1].user_id}).status_code,
                zip(callers, others, strict=True),
            )
        )

    assert sorted(statuses) == [200, 403, 403, 403]
    (step,) = as_alice.get(f"{task}/delegations").json()
    assert step["to_id"] == as_alice.get(task).json()["assignee_id"] == others[statuses.index(200)].user_id
