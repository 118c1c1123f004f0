"""Comments, where two changes meet."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from core.db import unit_of_work
from core.errors import Forbidden, NotFound
from core.policy import Actor
from core.services import comments, tasks
from tests.builders import create_task


def test_nobody_comments_on_what_is_being_deleted(
    alice: Actor, ada: Actor, meanwhile: Callable[..., Future[Any]]
) -> None:
    task_id = create_task(alice)

    with unit_of_work():
        tasks.delete_task(alice, task_id)
        said = meanwhile(comments.create_comment, ada, task_id, "Wait!")

    with pytest.raises(NotFound):
        said.result()


def test_nobody_comments_on_what_is_being_taken_from_them(
    alice: Actor, bob: Actor, meanwhile: Callable[..., Future[Any]]
) -> None:
    task_id = create_task(alice, assignee_id=bob.user_id)

    with unit_of_work():
        tasks.update_task(alice, task_id, {"assignee_id": None})
        said = meanwhile(comments.create_comment, bob, task_id, "Mine!")

    with pytest.raises(Forbidden):
        said.result()


def test_a_comment_that_is_being_deleted_is_not_changed(alice: Actor, meanwhile: Callable[..., Future[Any]]) -> None:
    task_id = create_task(alice)
    comment_id = comments.create_comment(alice, task_id, "Hello").id

    with unit_of_work():
        comments.delete_comment(alice, task_id, comment_id)
        changed = meanwhile(comments.change_comment, alice, task_id, comment_id, "Hi")

    with pytest.raises(NotFound):
        changed.result()
