"""The event log in the database; `core.events` and `core.services.publication` write and read it."""

from peewee import SQL, BigIntegerField, BooleanField, CharField, IdentityField
from playhouse.postgres_ext import ArrayField

from core.models.base import BaseModel, DateTimeTZField, JSONField


class LoggedEvent(BaseModel):
    """An event. `id` is the order in which events were recorded, `seq` the order in which they were published.

    An event gets its `seq` only after its transaction has been committed, so a reader of `seq > n` never
    misses an event that was committed late.

    The table has a partition for each day of `at` (see `core.services.event_partitions`).
    """

    id = IdentityField()
    seq = BigIntegerField(null=True)
    type = CharField(40)
    task_id = BigIntegerField(null=True)
    actor_id = BigIntegerField(null=True)
    at = DateTimeTZField(constraints=[SQL("DEFAULT clock_timestamp()")])
    audience = ArrayField(BigIntegerField, index=False)
    request_id = CharField(128, null=True)
    data = JSONField()

    class Meta:
        table_name = "events"


class EventLogState(BaseModel):
    """A table with one row: the last `seq` that was given, and the last one for which jobs have been sent."""

    only_row = BooleanField(primary_key=True, default=True)
    last_seq = BigIntegerField(default=0)
    jobs_seq = BigIntegerField(default=0)

    class Meta:
        table_name = "event_log_state"
