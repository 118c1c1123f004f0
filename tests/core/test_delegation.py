"""Concurrent delegation and reassignment."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import orjson

from core.db import unit_of_work
from core.policy import Actor
from core.services import delegation, tasks
from tests.builders import create_task


def test_a_delegation_during_an_unassignment_records_the_right_assignee(
    alice: Actor, bob: Actor, ada: Actor, start_blocked: Callable[..., Future[Any]]
) -> None:
    task_id = create_task(alice, assignee_id=bob.user_id)

    with unit_of_work():
        tasks.update_task(alice, task_id, {"assignee_id": None})
        passed_on = start_blocked(delegation.delegate_task, ada, task_id, ada.user_id, None)
    passed_on.result()

    (step,) = orjson.loads(delegation.list_delegations(alice, task_id).items)
    assert (step["from_id"], step["to_id"]) == (None, ada.user_id)
