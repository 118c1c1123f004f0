"""Groups, where two changes meet."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from core.db import unit_of_work
from core.errors import Invalid, NotFound
from core.policy import Actor
from core.services import groups, tasks
from tests.builders import create_group, create_task, read_task


def test_a_task_is_not_given_to_a_group_that_is_being_deleted(
    ada: Actor, meanwhile: Callable[..., Future[Any]]
) -> None:
    group_id = create_group(ada)
    task_id = create_task(ada)

    with unit_of_work():
        groups.delete_group(ada, group_id)
        given = meanwhile(tasks.update_task, ada, task_id, {"group_id": group_id})

    with pytest.raises(Invalid):
        given.result()
    assert read_task(ada, task_id)["version"] == 1


def test_a_group_that_is_deleted_lets_go_of_what_is_being_given_to_it(
    ada: Actor, meanwhile: Callable[..., Future[Any]]
) -> None:
    group_id = create_group(ada)
    task_id = create_task(ada)

    with unit_of_work():
        tasks.update_task(ada, task_id, {"group_id": group_id})
        deleted = meanwhile(groups.delete_group, ada, group_id)
    deleted.result()

    assert (read_task(ada, task_id)["group_id"], read_task(ada, task_id)["version"]) == (None, 3)


def test_nobody_joins_a_group_that_is_being_deleted(
    ada: Actor, bob: Actor, meanwhile: Callable[..., Future[Any]]
) -> None:
    group_id = create_group(ada)

    with unit_of_work():
        groups.delete_group(ada, group_id)
        joined = meanwhile(groups.put_member, ada, group_id, bob.user_id, is_manager=False)

    with pytest.raises(NotFound):
        joined.result()


def test_who_is_just_taken_out_of_a_group_manages_it_no_more(
    ada: Actor, bob: Actor, meanwhile: Callable[..., Future[Any]]
) -> None:
    group_id = create_group(ada)
    groups.put_member(ada, group_id, bob.user_id, is_manager=True)

    with unit_of_work():
        groups.remove_member(ada, group_id, bob.user_id)
        renamed = meanwhile(groups.rename_group, bob, group_id, "Bob's")

    with pytest.raises(NotFound):
        renamed.result()
