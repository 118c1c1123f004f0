"""Each table of the migrated database has a model with the same columns."""

import pkgutil
from importlib import import_module
from typing import Any

import pytest
from peewee import (
    BigIntegerField,
    BlobField,
    BooleanField,
    CharField,
    DateField,
    DoubleField,
    Field,
    IdentityField,
    IntegerField,
    SmallIntegerField,
    TextField,
)
from playhouse.postgres_ext import ArrayField, DateTimeTZField, JSONField

from core import models
from core.models.base import BaseModel
from core.models.task import TASK_JSON, Task
from core.policy import Actor
from core.services import tasks
from tests.builders import QUOTA
from tests.sql import execute

pytestmark = pytest.mark.usefixtures("database")

for module in pkgutil.iter_modules(models.__path__, prefix=f"{models.__name__}."):
    import_module(module.name)
ALL_MODELS: list[type[BaseModel]] = BaseModel.__subclasses__()
# A table of peewee-migrate, which our code does not use.
FOREIGN_TABLES = {"migratehistory"}
SQL_TYPES: dict[type[Field], str] = {
    BigIntegerField: "bigint",
    BlobField: "bytea",
    BooleanField: "boolean",
    DateField: "date",
    DateTimeTZField: "timestamp with time zone",
    DoubleField: "double precision",
    IdentityField: "bigint",
    IntegerField: "integer",
    JSONField: "json",
    SmallIntegerField: "smallint",
    TextField: "text",
}
# Generated columns are in no model: they are never written, and peewee would read them with every row.
COLUMNS = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull FROM pg_attribute a
WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
"""

TABLES = """
SELECT relname FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
"""
# A table with partitions has no key of its own; its partitions have one.
KEY = """
SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_index i
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)
WHERE i.indisprimary
  AND i.indrelid = coalesce((SELECT min(inhrelid) FROM pg_inherits WHERE inhparent = %(table)s::regclass),
                            %(table)s::regclass)
"""


def sql_type(field: Field) -> str:
    if isinstance(field, ArrayField):
        # ArrayField provides the type of its elements only as this text.
        return {"BIGINT": "bigint[]", "SMALLINT": "smallint[]", "TEXT": "text[]"}[field.field_type]
    if isinstance(field, CharField):
        return f"character varying({field.max_length})"
    return SQL_TYPES[type(field)]


def meta_of(model: type[BaseModel]) -> Any:
    return model._meta  # noqa: SLF001 - peewee documents this attribute.


def test_every_table_has_one_model() -> None:
    tables = {name for (name,) in execute(TABLES).fetchall()}

    assert sorted(model.table() for model in ALL_MODELS) == sorted(tables - FOREIGN_TABLES)


@pytest.mark.parametrize("model", ALL_MODELS, ids=lambda model: model.table())
def test_a_model_has_the_columns_of_its_table(model: type[BaseModel]) -> None:
    columns = execute(COLUMNS, (model.table(),)).fetchall()
    fields = [(field.column_name, sql_type(field), field.null) for field in meta_of(model).sorted_fields]

    assert sorted(fields) == sorted(columns)


@pytest.mark.parametrize("model", ALL_MODELS, ids=lambda model: model.table())
def test_a_model_has_the_primary_key_of_its_table(model: type[BaseModel]) -> None:
    key = execute(KEY, {"table": model.table()}).fetchone()[0]

    assert sorted(field.column_name for field in meta_of(model).get_primary_keys()) == sorted(key)


@pytest.mark.parametrize("model", ALL_MODELS, ids=lambda model: model.table())
def test_internal_columns_exist(model: type[BaseModel]) -> None:
    """A misspelled name in `INTERNAL` would expose a column to clients."""
    assert set(meta_of(model).columns) >= model.INTERNAL


@pytest.mark.parametrize("model", ALL_MODELS, ids=lambda model: model.table())
def test_the_json_of_a_row_is_valid_sql(model: type[BaseModel]) -> None:
    assert execute(f"SELECT {model.json()} FROM {model.table()} LIMIT 0").fetchall() == []


def test_the_json_of_a_task_has_these_members_in_this_order(alice: Actor) -> None:
    task_id = tasks.create_task(alice, {"title": "a task"}, QUOTA).id

    task: dict[str, Any] = execute(f"SELECT {TASK_JSON} FROM tasks t WHERE id = %s", (task_id,)).fetchone()[0]

    assert (
        list(task)
        == (
            "id title description status priority due_at due_on duration_minutes city place_id weather weather_status "
            "place forecast weather_rule weather_state auto_reschedule user_id assignee_id group_id completed "
            "completed_at created_at updated_at version"
        ).split()
    )


@pytest.mark.parametrize("status", ["todo", "in_progress", "done"])
def test_a_task_is_completed_if_it_is_done(status: str, alice: Actor) -> None:
    task_id = tasks.create_task(alice, {"title": "a task", "status": status}, QUOTA).id

    task: dict[str, Any] = execute(f"SELECT {Task.json()} FROM tasks WHERE id = %s", (task_id,)).fetchone()[0]

    assert task["completed"] is (status == "done")
