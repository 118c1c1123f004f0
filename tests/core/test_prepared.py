"""Statements that are prepared once in each connection."""

from collections.abc import Iterator

import pytest
from peewee import DataError, OperationalError, ProgrammingError

from core import db, prepared
from core.db import read, unit_of_work, write
from core.prepared import Prepared
from tests.sql import execute
from tests.statements import statements_sent

pytestmark = pytest.mark.usefixtures("database")

ADD = Prepared("SELECT %(first)s::integer + %(second)s + %(first)s, '100 %%'")


@pytest.fixture(autouse=True)
def _new_connection() -> Iterator[None]:
    db.disconnect()
    yield
    db.disconnect()


def test_parameters_may_be_repeated_and_percent_signs_stay() -> None:
    for _ in range(2):
        assert read(ADD, {"first": 1, "second": 20}).fetch_all() == [(22, "100 %")]


def test_only_the_first_execution_in_a_connection_prepares_the_statement() -> None:
    with statements_sent() as sent:
        read(ADD, {"first": 1, "second": 2})
        read(ADD, {"first": 3, "second": 4})

    assert sent == [ADD.prepare, ADD.execute, ADD.execute]


def test_a_new_connection_prepares_the_statement_again() -> None:
    read(ADD, {"first": 1, "second": 2})
    db.disconnect()

    assert read(ADD, {"first": 3, "second": 4}).fetch_all() == [(10, "100 %")]


def test_a_prepared_statement_has_one_plan_for_all_values() -> None:
    for number in range(8):
        read(ADD, {"first": number, "second": 2})

    assert read("SELECT generic_plans, custom_plans FROM pg_prepared_statements").fetch_all() == [(8, 0)]


def test_a_statement_stays_prepared_after_a_failed_unit_of_work() -> None:
    def fail_after_use() -> None:
        with unit_of_work():
            read(ADD, {"first": 1, "second": 2})
            raise LookupError

    pytest.raises(LookupError, fail_after_use)

    with statements_sent() as sent:
        assert read(ADD, {"first": 3, "second": 4}).fetch_all() == [(10, "100 %")]
    assert sent == [ADD.execute]


def test_a_statement_can_be_used_after_an_execution_that_failed() -> None:
    with pytest.raises(DataError):
        read(ADD, {"first": "no number", "second": 2})

    assert read(ADD, {"first": 3, "second": 4}).fetch_all() == [(10, "100 %")]


def test_a_statement_that_cannot_be_prepared_fails_each_time() -> None:
    wrong = Prepared("SELECT %(value)s FROM no_such_table")

    for _ in range(2):
        with pytest.raises(ProgrammingError, match="no_such_table"):
            read(wrong, {"value": 1})


def test_a_prepared_statement_may_write_in_a_unit_of_work() -> None:
    insert = Prepared("INSERT INTO groups (name) VALUES (%(name)s) RETURNING name")
    with unit_of_work():
        assert write(insert, {"name": "Roofers"}).fetch_value() == "Roofers"

    assert execute("SELECT name FROM groups").fetchall() == [("Roofers",)]


def test_a_connection_prepares_a_limited_number_of_statements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared, "_LIMIT", 1)
    other = Prepared("SELECT %(value)s::integer")
    read(ADD, {"first": 1, "second": 2})

    with statements_sent() as sent:
        assert read(other, {"value": 5}).fetch_value() == 5

    assert sent == [other.sql]


def test_a_changed_type_of_the_result_makes_only_one_execution_fail() -> None:
    statement = Prepared("SELECT name FROM changing")
    execute("CREATE TABLE changing (name varchar); INSERT INTO changing VALUES ('Roofers')")
    try:
        read(statement)
        execute("ALTER TABLE changing ALTER name TYPE text")

        with pytest.raises(OperationalError, match="cached plan must not change result type"):
            read(statement)

        assert read(statement).fetch_value() == "Roofers"
    finally:
        execute("DROP TABLE changing")
