"""What operators see: the processes that run, what they do, and measurements."""

from peewee import BigIntegerField, CharField, CompositeKey, DoubleField, IntegerField
from playhouse.postgres_ext import ArrayField

from core.models.base import NOW, BaseModel, DateTimeTZField


class Process(BaseModel):
    """A process that runs, or has run until a moment ago. `memory_bytes` and `sockets` are null where unknown."""

    id = CharField(32, primary_key=True)
    kind = CharField(20)
    name = CharField(40)
    version = CharField(40)
    host = CharField(255)
    pid = IntegerField()
    started_at = DateTimeTZField(constraints=NOW)
    heartbeat_at = DateTimeTZField(constraints=NOW)
    memory_bytes = BigIntegerField(null=True)
    sockets = IntegerField(null=True)

    class Meta:
        table_name = "processes"


class ActivityMinute(BaseModel):
    """How often something happened in a minute, and in which classes of durations (see `core.activity`)."""

    minute = DateTimeTZField()
    kind = CharField(10)
    name = CharField(200)
    number = BigIntegerField()
    refused = BigIntegerField()
    failed = BigIntegerField()
    classes = ArrayField(BigIntegerField, index=False)

    class Meta:
        table_name = "activity"
        primary_key = CompositeKey("minute", "kind", "name")


class Measurement(BaseModel):
    """A number at a time; the names are those of `core.services.measures`."""

    at = DateTimeTZField()
    name = CharField(60)
    value = DoubleField()

    class Meta:
        table_name = "measurements"
        primary_key = CompositeKey("at", "name")
