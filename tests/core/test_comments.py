"""Concurrent changes of comments."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from core.db import unit_of_work
from core.errors import Forbidden, NotFound
from core.policy import Actor
from core.services import comments, tasks
from tests.builders import QUOTA, create_task


def test_a_task_cannot_be_commented_on_while_it_is_deleted(
    alice: Actor, ada: Actor, start_blocked: Callable[..., Future[Any]]
) -> None:
    task_id = create_task(alice)

    with unit_of_work():
        tasks.delete_task(alice, task_id)
        created = start_blocked(comments.create_comment, ada, task_id, "Wait!", QUOTA)

    with pytest.raises(NotFound):
        created.result()


def test_an_assignee_cannot_comment_while_the_task_is_unassigned(
    alice: Actor, bob: Actor, start_blocked: Callable[..., Future[Any]]
) -> None:
    task_id = create_task(alice, assignee_id=bob.user_id)

    with unit_of_work():
        tasks.update_task(alice, task_id, {"assignee_id": None})
        created = start_blocked(comments.create_comment, bob, task_id, "Mine!", QUOTA)

    with pytest.raises(Forbidden):
        created.result()


def test_a_comment_cannot_be_changed_while_it_is_deleted(
    alice: Actor, start_blocked: Callable[..., Future[Any]]
) -> None:
    task_id = create_task(alice)
    comment_id = comments.create_comment(alice, task_id, "Hello", QUOTA).id

    with unit_of_work():
        comments.delete_comment(alice, task_id, comment_id)
        changed = start_blocked(comments.change_comment, alice, task_id, comment_id, "Hi")

    with pytest.raises(NotFound):
        changed.result()
