"""Only a unit of work may write, completely or not at all; and lost connections are replaced."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from peewee import IntegrityError, InterfaceError, InternalError, OperationalError
from psycopg2.errors import ReadOnlySqlTransaction
from structlog.testing import capture_logs

from core import db, events
from core.db import UnitOfWorkMissingError, exclusive, read, unit_of_one_statement, unit_of_work, write
from core.errors import Invalid
from core.models.group import Group
from core.models.task import Task
from core.policy import Actor
from core.services import tasks
from tests.builders import QUOTA
from tests.sql import execute
from tests.statements import statements_sent

pytestmark = pytest.mark.usefixtures("database")

INSERT = "INSERT INTO groups (name) VALUES ('Roofers')"

# Calls that write, or that schedule something after a commit. Our own code refuses them before it sends anything.
REFUSED: dict[str, Callable[[], object]] = {
    "write": lambda: write(INSERT),
    "record": lambda: events.record("sessions.revoked", audience=[], data={}),
    "record_task": lambda: events.record_task(events.TASK_UPDATED, 1, None),
    "after_commit": lambda: db.after_commit(print),
    "peewee's insert": lambda: Group.insert(name="Roofers").execute(),
    "peewee's create": lambda: Group.create(name="Roofers"),
    "peewee's update": lambda: Group.update(name="Roofers").execute(),
    "peewee's delete": lambda: Group.delete().execute(),
    "peewee's raw SQL": lambda: list(Group.raw(INSERT)),
    "peewee's transaction": lambda: db.database.atomic().__enter__(),
}
# Other calls that write or lock. PostgreSQL refuses them.
REFUSED_BY_POSTGRESQL: dict[str, Callable[[], object]] = {
    "read": lambda: read(INSERT),
    "read in a WITH": lambda: read(f"WITH made AS ({INSERT} RETURNING id) SELECT id FROM made"),
    "FOR UPDATE": lambda: read("SELECT id FROM groups FOR UPDATE"),
    "peewee's for_update": lambda: list(Group.select().for_update()),
}


def fail_after(*steps: Callable[[], object]) -> None:
    """Run a unit of work that calls these functions and then fails."""
    with unit_of_work():
        for step in steps:
            step()
        raise LookupError


def names_of_groups() -> list[str]:
    return [name for (name,) in execute("SELECT name FROM groups ORDER BY id").fetchall()]


class TestOutsideAUnitOfWork:
    @pytest.mark.parametrize("name", REFUSED)
    def test_writing_is_refused_before_a_connection_is_opened(self, name: str) -> None:
        db.disconnect()

        with pytest.raises(UnitOfWorkMissingError):
            REFUSED[name]()

        assert db.database.is_closed()
        assert names_of_groups() == []

    @pytest.mark.parametrize("name", REFUSED)
    def test_writing_is_refused_after_a_unit_of_work_in_the_same_thread(self, name: str) -> None:
        with unit_of_work():
            read("SELECT 1")

        with statements_sent() as sent, pytest.raises(UnitOfWorkMissingError):
            REFUSED[name]()

        assert sent == []

    @pytest.mark.parametrize("name", REFUSED)
    def test_writing_is_refused_after_a_failed_unit_of_work(self, name: str) -> None:
        pytest.raises(LookupError, fail_after)

        with pytest.raises(UnitOfWorkMissingError):
            REFUSED[name]()

    def test_a_unit_of_work_that_cannot_begin_is_not_active(self, monkeypatch: pytest.MonkeyPatch) -> None:
        @contextmanager
        def fail() -> Iterator[None]:
            raise OperationalError
            yield

        with monkeypatch.context() as patch:
            patch.setattr(db, "connected", fail)
            with pytest.raises(OperationalError), unit_of_work():
                pass

        assert not db.is_in_unit_of_work()

    def test_a_unit_of_work_in_another_thread_does_not_permit_writing(self) -> None:
        refusals: list[bool] = []

        def attempt() -> None:
            with pytest.raises(UnitOfWorkMissingError):
                write(INSERT)
            refusals.append(True)

        with unit_of_work():
            _in_thread(attempt)

        assert refusals == [True]

    @pytest.mark.parametrize("name", REFUSED_BY_POSTGRESQL)
    def test_postgresql_refuses_other_writes_and_locks(self, name: str) -> None:
        execute(INSERT)

        with pytest.raises(InternalError) as refusal:
            REFUSED_BY_POSTGRESQL[name]()

        assert isinstance(refusal.value.orig, ReadOnlySqlTransaction)
        assert names_of_groups() == ["Roofers"]

    def test_a_replaced_connection_is_also_read_only(self) -> None:
        _terminate(read("SELECT pg_backend_pid()").fetch_value())

        with pytest.raises(InternalError):
            read(INSERT)

    def test_the_error_explains_how_to_fix_the_call(self) -> None:
        with pytest.raises(
            UnitOfWorkMissingError, match=r"write\(\) .* Call it inside `with core\.db\.unit_of_work\(\):`"
        ):
            write(INSERT)

    def test_reading_is_allowed(self) -> None:
        execute(INSERT)

        assert read("SELECT name FROM groups").fetch_all() == [("Roofers",)]
        assert Group.select().count() == 1


class TestInsideAUnitOfWork:
    @pytest.mark.parametrize("name", ["read", "read in a WITH", "FOR UPDATE", "peewee's for_update"])
    def test_postgresql_allows_writes_and_locks(self, name: str) -> None:
        with unit_of_work():
            REFUSED_BY_POSTGRESQL[name]()

    @pytest.mark.parametrize("name", ["write", "peewee's insert", "peewee's create", "read", "read in a WITH"])
    def test_writes_are_committed(self, name: str) -> None:
        with unit_of_work():
            (REFUSED | REFUSED_BY_POSTGRESQL)[name]()

        assert names_of_groups() == ["Roofers"]

    def test_a_unit_of_work_adds_one_round_trip(self) -> None:
        with statements_sent() as sent, unit_of_work():
            write(INSERT)
            write(INSERT)

        assert sent == [f"BEGIN READ WRITE;{INSERT}", INSERT, "COMMIT"]

    def test_reading_outside_a_unit_of_work_takes_one_round_trip(self) -> None:
        with statements_sent() as sent:
            read("SELECT 1")

        assert sent == ["SELECT 1"]


class TestAUnitOfOneStatement:
    def test_it_is_committed_in_one_round_trip_before_the_callbacks(self) -> None:
        seen: list[list[str]] = []
        with statements_sent() as sent, unit_of_one_statement():
            write(INSERT)
            db.after_commit(lambda: seen.append(names_of_groups()))

        assert sent[0] == f"SET TRANSACTION READ WRITE;{INSERT}"
        assert seen == [["Roofers"]]

    def test_a_second_statement_is_a_mistake(self) -> None:
        def write_twice() -> None:
            with unit_of_one_statement():
                write(INSERT)
                write(INSERT)

        with pytest.raises(RuntimeError, match="used for two"):
            write_twice()

        assert names_of_groups() == ["Roofers"]

    def test_a_statement_that_fails_changes_nothing_and_calls_nothing(self) -> None:
        called: list[None] = []

        def fail() -> None:
            with unit_of_one_statement():
                db.after_commit(lambda: called.append(None))
                write("INSERT INTO groups (name) VALUES (NULL)")

        pytest.raises(IntegrityError, fail)

        assert (names_of_groups(), called) == ([], [])

    def test_later_statements_may_not_write(self) -> None:
        with unit_of_one_statement():
            write(INSERT)

        with pytest.raises(InternalError, match="read-only"):
            read("INSERT INTO groups (name) VALUES ('Painters')")

    def test_inside_a_unit_of_work_it_is_undone_with_it(self) -> None:
        def write_part() -> None:
            with unit_of_one_statement():
                write(INSERT)

        pytest.raises(LookupError, fail_after, write_part)

        assert names_of_groups() == []


class TestRollback:
    def test_a_failed_unit_of_work_is_rolled_back(self, alice: Actor) -> None:
        pytest.raises(LookupError, fail_after, lambda: Task.create(title="half done", user_id=alice.user_id))

        assert Task.select().count() == 0

    def test_a_failed_nested_unit_rolls_back_only_itself_and_its_callbacks(self, alice: Actor) -> None:
        called: list[str] = []

        def make(name: str) -> None:
            Task.create(title=name, user_id=alice.user_id)
            db.after_commit(lambda: called.append(name))

        with unit_of_work():
            make("before")
            pytest.raises(LookupError, fail_after, lambda: make("undone"))
            with unit_of_work():
                make("after")
            assert called == []

        assert [task.title for task in Task.select().order_by(Task.id)] == ["before", "after"]
        assert called == ["before", "after"]

    def test_a_failed_outer_unit_rolls_back_nested_units(self, alice: Actor) -> None:
        def succeed_in_nested_unit() -> None:
            with unit_of_work():
                Task.create(title="part", user_id=alice.user_id)

        pytest.raises(LookupError, fail_after, succeed_in_nested_unit)

        assert Task.select().count() == 0

    def test_a_swallowed_statement_error_is_reported_at_the_commit(self) -> None:
        """In this case PostgreSQL rolls back on COMMIT, and psycopg2 raises no error."""
        called: list[None] = []

        def ignore_a_failure() -> None:
            with unit_of_work():
                write(INSERT)
                db.after_commit(lambda: called.append(None))
                with pytest.raises(IntegrityError):
                    write("INSERT INTO groups (name) VALUES (NULL)")

        with pytest.raises(InternalError, match="nothing was committed"):
            ignore_a_failure()

        assert (names_of_groups(), called) == ([], [])
        assert not db.is_in_unit_of_work()

    def test_an_error_in_a_nested_unit_can_be_ignored(self) -> None:
        with unit_of_work():
            write(INSERT)
            with pytest.raises(IntegrityError), unit_of_work():
                write("INSERT INTO groups (name) VALUES (NULL)")

        assert names_of_groups() == ["Roofers"]


class TestAfterTheCommit:
    def test_the_callback_is_called_once_and_sees_the_committed_rows(self, alice: Actor) -> None:
        seen_by_others: list[int] = []

        def count_in_another_connection() -> None:
            _in_thread(lambda: (seen_by_others.append(Task.select().count()), db.disconnect()))

        stop = events.on_recorded(count_in_another_connection)
        try:
            tasks.create_task(alice, {"title": "seen", "assignee_id": alice.user_id}, QUOTA)
        finally:
            stop()

        assert seen_by_others == [1]

    def test_the_callback_is_not_called_after_a_failed_unit(self, alice: Actor) -> None:
        calls: list[None] = []
        stop = events.on_recorded(lambda: calls.append(None))
        try:
            pytest.raises(Invalid, tasks.create_task, alice, {"title": "x", "assignee_id": 10**9}, QUOTA)
        finally:
            stop()

        assert calls == []

    def test_callbacks_of_a_failed_unit_are_not_called_by_the_next_unit(self) -> None:
        calls: list[None] = []
        pytest.raises(LookupError, fail_after, lambda: db.after_commit(lambda: calls.append(None)))

        with unit_of_work():
            write(INSERT)

        assert calls == []

    def test_a_callback_may_run_a_unit_of_work(self) -> None:
        def store() -> None:
            with unit_of_work():
                write(INSERT)

        with unit_of_work():
            db.after_commit(store)

        assert names_of_groups() == ["Roofers"]

    def test_a_failing_callback_is_logged_and_the_others_are_called(self) -> None:
        """The change is committed. An exception would suggest to the caller that it is not."""
        called: list[str] = []

        def fail() -> None:
            raise LookupError

        with capture_logs() as logs, unit_of_work():
            write(INSERT)
            db.after_commit(fail)
            db.after_commit(lambda: called.append("the next"))

        assert called == ["the next"]
        assert [(line["event"], line["log_level"]) for line in logs] == [("after_commit_failed", "error")]
        assert names_of_groups() == ["Roofers"]


def test_a_connection_closed_by_the_server_is_replaced_before_use() -> None:
    pid = read("SELECT pg_backend_pid()").fetch_value()
    _terminate(pid)

    assert read("SELECT pg_backend_pid()").fetch_value() != pid


def test_a_connection_lost_during_use_is_replaced_at_the_next_use() -> None:
    def lose_connection_inside() -> None:
        with unit_of_work():
            _terminate(read("SELECT pg_backend_pid()").fetch_value())
            read("SELECT 1")

    pytest.raises((InterfaceError, OperationalError), lose_connection_inside)

    assert read("SELECT 1").fetch_value() == 1


def test_an_exclusive_name_has_one_holder_and_is_released() -> None:
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


def test_losing_the_connection_of_an_exclusive_name_raises() -> None:
    def lose_connection_inside() -> None:
        with exclusive("the name"):
            _terminate(read("SELECT pg_backend_pid()").fetch_value())
            read("SELECT 1")

    pytest.raises((InterfaceError, OperationalError), lose_connection_inside)

    with exclusive("the name") as held:
        assert held


def _terminate(pid: int) -> None:
    def terminate() -> None:
        execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
        db.disconnect()

    _in_thread(terminate)


def _in_thread(function: object) -> None:
    thread = threading.Thread(target=function)  # type: ignore[arg-type]
    thread.start()
    thread.join()
