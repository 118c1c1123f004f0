"""The figures about tasks: sums, changes that have not been added to the sums yet, and outcomes of the weather."""

from peewee import BigIntegerField, CharField, CompositeKey, DateField, IdentityField, SmallIntegerField

from core.models.base import NOW, BaseModel, DateTimeTZField


class AnalyticsRollup(BaseModel):
    """How many tasks with one status an owner has created on one day."""

    day = DateField()
    user_id = BigIntegerField()
    status = CharField(20)
    tasks = BigIntegerField()

    class Meta:
        table_name = "analytics_rollups"
        primary_key = CompositeKey("user_id", "day", "status")


class TaskTotal(BaseModel):
    """How many tasks an owner has by status, as far as deltas were added to the sums; triggers of the sums count them.

    The table also has their sum (`tasks`), which PostgreSQL computes.
    """

    user_id = BigIntegerField(primary_key=True)
    todo = BigIntegerField()
    in_progress = BigIntegerField()
    done = BigIntegerField()

    class Meta:
        table_name = "task_totals"


class AnalyticsDelta(BaseModel):
    """One more (1) or one fewer (-1) task; a trigger of the table `tasks` writes it."""

    id = IdentityField()
    day = DateField()
    user_id = BigIntegerField()
    status = CharField(20)
    change = SmallIntegerField()

    class Meta:
        table_name = "analytics_deltas"


class WeatherOutcome(BaseModel):
    """What the weather has done to a task: it was warned, it was moved, or it was done in spite of a warning."""

    id = IdentityField()
    at = DateTimeTZField(constraints=NOW)
    kind = CharField(10)
    task_id = BigIntegerField()
    user_id = BigIntegerField()
    place_id = BigIntegerField(null=True)

    class Meta:
        table_name = "weather_outcomes"
