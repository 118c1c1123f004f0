"""What every model shares."""

from peewee import Model
from playhouse.postgres_ext import DateTimeTZField

from core.db import database


class BaseModel(Model):
    """A model of the one database. The migrations own the schema; the models describe it."""

    class Meta:
        database = database
        legacy_table_names = False


__all__ = ["BaseModel", "DateTimeTZField"]
