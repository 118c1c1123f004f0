"""The unit of work, and connections that heal."""

import threading

import pytest
from peewee import InterfaceError, OperationalError

from core import db, events
from core.db import exclusive, unit_of_work
from core.errors import Invalid
from core.models import Task
from core.policy import Actor
from core.services import tasks
from tests.builders import create_task
from tests.sql import execute

pytestmark = pytest.mark.usefixtures("database")


def test_a_unit_of_work_that_fails_leaves_nothing(alice: Actor) -> None:
    def fail_after_insert() -> None:
        with unit_of_work():
            Task.create(title="half done", user_id=alice.user_id)
            raise LookupError

    pytest.raises(LookupError, fail_after_insert)

    assert Task.select().count() == 0


def test_a_part_that_fails_undoes_only_itself_and_tells_nobody(alice: Actor) -> None:
    called: list[str] = []

    def fail_within(name: str) -> None:
        with unit_of_work():
            Task.create(title=name, user_id=alice.user_id)
            db.after_commit(lambda: called.append(name))
            raise LookupError

    with unit_of_work():
        Task.create(title="before", user_id=alice.user_id)
        db.after_commit(lambda: called.append("before"))
        pytest.raises(LookupError, fail_within, "undone")
        with unit_of_work():
            Task.create(title="after", user_id=alice.user_id)
            db.after_commit(lambda: called.append("after"))
        assert called == []

    assert [task.title for task in Task.select().order_by(Task.id)] == ["before", "after"]
    assert called == ["before", "after"]


def test_a_whole_that_fails_undoes_its_parts(alice: Actor) -> None:
    def fail_after_a_part() -> None:
        with unit_of_work():
            with unit_of_work():
                Task.create(title="part", user_id=alice.user_id)
            raise LookupError

    pytest.raises(LookupError, fail_after_a_part)

    assert Task.select().count() == 0


def test_wake_ups_come_after_the_commit_and_once(alice: Actor) -> None:
    seen_by_others: list[int] = []

    def count_in_another_connection() -> None:
        thread = threading.Thread(target=lambda: (seen_by_others.append(Task.select().count()), db.disconnect()))
        thread.start()
        thread.join()

    stop = events.on_recorded(count_in_another_connection)
    try:
        create_task(alice, title="seen", assignee_id=alice.user_id)
    finally:
        stop()

    assert seen_by_others == [1]


def test_a_failed_unit_wakes_nobody(alice: Actor) -> None:
    calls: list[None] = []
    stop = events.on_recorded(lambda: calls.append(None))
    try:
        pytest.raises(Invalid, tasks.create_task, alice, {"title": "x", "assignee_id": 10**9})
    finally:
        stop()

    assert calls == []


def test_a_connection_that_the_server_has_closed_is_replaced_before_use() -> None:
    (pid,) = execute("SELECT pg_backend_pid()").fetchone()
    _terminate(pid)

    (new_pid,) = execute("SELECT pg_backend_pid()").fetchone()

    assert new_pid != pid


def test_a_connection_that_dies_in_use_is_replaced_by_the_next_use() -> None:
    def lose_connection_inside() -> None:
        with unit_of_work():
            (pid,) = execute("SELECT pg_backend_pid()").fetchone()
            _terminate(pid)
            execute("SELECT 1")

    pytest.raises((InterfaceError, OperationalError), lose_connection_inside)

    assert execute("SELECT 1").fetchone() == (1,)


def test_an_exclusive_name_has_one_holder_and_is_free_afterwards() -> None:
    outcomes: list[bool] = []

    def try_elsewhere() -> None:
        with exclusive("the name") as held:
            outcomes.append(held)
        db.disconnect()

    with exclusive("the name") as held:
        _in_thread(try_elsewhere)
    _in_thread(try_elsewhere)

    assert held
    assert outcomes == [False, True]


def _terminate(pid: int) -> None:
    def terminate() -> None:
        execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
        db.disconnect()

    _in_thread(terminate)


def _in_thread(function: object) -> None:
    thread = threading.Thread(target=function)  # type: ignore[arg-type]
    thread.start()
    thread.join()
