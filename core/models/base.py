"""What all models share."""

from collections.abc import Iterable
from typing import Any, ClassVar

from peewee import SQL, Model
from playhouse.postgres_ext import DateTimeTZField, JSONField

from core.db import database

NOW = [SQL("DEFAULT now()")]
"""The constraint of a column with the time at which its row was made."""


def json_object(columns: Iterable[str], source: str | None = None) -> str:
    """Return the SQL expression of a JSON object with these columns, each under its own name.

    With `source`, the SQL after FROM, the columns are those of its only row; without a row, the expression is NULL.
    """
    row = f"SELECT {', '.join(columns)}" + (f" FROM {source}" if source else "")
    return f"(SELECT row_to_json(fields) FROM ({row}) fields)"


class BaseModel(Model):
    """The base of all models. Only migrations change the schema; the models describe it.

    PostgreSQL builds the JSON of a row for clients from the fields, in the order of their declaration. A field
    that is added to a model is in that JSON too, unless its name is in `INTERNAL`.
    """

    INTERNAL: ClassVar[frozenset[str]] = frozenset()

    class Meta:
        database = database
        legacy_table_names = False

    @classmethod
    def table(cls) -> str:
        """The name of this model's table."""
        return str(cls._meta.table_name)

    @classmethod
    def columns(cls) -> list[str]:
        """The columns of this model, in the order of their declaration."""
        return [field.column_name for field in cls._meta.sorted_fields]

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """The values that columns have if no other is given, apart from those that PostgreSQL has a value for."""
        return {field.column_name: field.default for field in cls._meta.sorted_fields if field.default is not None}

    @classmethod
    def visible_columns(cls, alias: str | None = None) -> list[str]:
        """The columns that clients see, in SQL over this model's table, under an alias or its own name."""
        return [f"{alias or cls.table()}.{name}" for name in cls.columns() if name not in cls.INTERNAL]

    @classmethod
    def json(cls, alias: str | None = None) -> str:
        """The SQL expression of a row's JSON as clients see it, over this model's table."""
        return json_object(cls.visible_columns(alias))


__all__ = ["NOW", "BaseModel", "DateTimeTZField", "JSONField", "json_object"]
