"""Concurrent changes of groups."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from core.db import unit_of_work
from core.errors import Invalid, NotFound
from core.policy import Actor
from core.services import groups, tasks
from tests.builders import create_group, create_task, read_task


def test_a_task_cannot_be_given_to_a_group_while_it_is_deleted(
    ada: Actor, start_blocked: Callable[..., Future[Any]]
) -> None:
    group_id = create_group(ada)
    task_id = create_task(ada)

    with unit_of_work():
        groups.delete_group(ada, group_id)
        given = start_blocked(tasks.update_task, ada, task_id, {"group_id": group_id})

    with pytest.raises(Invalid):
        given.result()
    assert read_task(ada, task_id)["version"] == 1


def test_deleting_a_group_also_removes_it_from_a_task_given_to_it_meantime(
    ada: Actor, start_blocked: Callable[..., Future[Any]]
) -> None:
    group_id = create_group(ada)
    task_id = create_task(ada)

    with unit_of_work():
        tasks.update_task(ada, task_id, {"group_id": group_id})
        deleted = start_blocked(groups.delete_group, ada, group_id)
    deleted.result()

    assert (read_task(ada, task_id)["group_id"], read_task(ada, task_id)["version"]) == (None, 3)


def test_no_member_can_be_added_while_a_group_is_deleted(
    ada: Actor, bob: Actor, start_blocked: Callable[..., Future[Any]]
) -> None:
    group_id = create_group(ada)

    with unit_of_work():
        groups.delete_group(ada, group_id)
        joined = start_blocked(groups.put_member, ada, group_id, bob.user_id, is_manager=False)

    with pytest.raises(NotFound):
        joined.result()


def test_a_manager_cannot_rename_a_group_while_being_removed(
    ada: Actor, bob: Actor, start_blocked: Callable[..., Future[Any]]
) -> None:
    group_id = create_group(ada)
    groups.put_member(ada, group_id, bob.user_id, is_manager=True)

    with unit_of_work():
        groups.remove_member(ada, group_id, bob.user_id)
        renamed = start_blocked(groups.rename_group, bob, group_id, "Bob's")

    with pytest.raises(NotFound):
        renamed.result()
