"""Tasks, their JSON form, and the SQL condition of who may see them."""

from typing import ClassVar, Final

from peewee import BigIntegerField, BooleanField, CharField, DateField, IdentityField, IntegerField, TextField
from playhouse.postgres_ext import ArrayField

from core.models.base import NOW, BaseModel, DateTimeTZField, JSONField
from core.models.place import forecast_of_task, place_of_task

STATUSES: Final = ("todo", "in_progress", "done")
PRIORITIES: Final = ("low", "medium", "high", "urgent")
LONGEST_CITY_KEY: Final = 400


class Task(BaseModel):
    """A task. A worker fetches its weather and counts the attempts in the columns `weather_…`."""

    INTERNAL: ClassVar[frozenset[str]] = frozenset(
        {
            "city_key",
            "weather_attempts",
            "weather_next_attempt_at",
            "weather_error",
            "weather_failing_since",
            "overdue_told",
            "forecast_told",
            "weather_judge_at",
            "weather_warned_by",
            "rescheduled_at",
        }
    )

    id = IdentityField()
    title = CharField(255)
    description = CharField(5000, null=True)
    status = CharField(20, default="todo")
    priority = CharField(10, default="medium")
    due_at = DateTimeTZField(null=True)
    due_on = DateField(null=True)
    duration_minutes = IntegerField(null=True)
    city = CharField(120, null=True)
    city_key = CharField(LONGEST_CITY_KEY, null=True)
    place_id = BigIntegerField(null=True)
    weather = JSONField(null=True)
    weather_status = CharField(12, null=True)
    weather_attempts = IntegerField(default=0)
    weather_next_attempt_at = DateTimeTZField(null=True)
    weather_error = TextField(null=True)
    weather_failing_since = DateTimeTZField(null=True)
    weather_rule = JSONField(null=True)
    weather_state = CharField(8, null=True)
    weather_judge_at = DateTimeTZField(null=True)
    weather_warned_by = ArrayField(TextField, index=False, null=True)
    auto_reschedule = JSONField(null=True)
    user_id = BigIntegerField()
    assignee_id = BigIntegerField(null=True)
    group_id = BigIntegerField(null=True)
    completed_at = DateTimeTZField(null=True)
    created_at = DateTimeTZField(constraints=NOW)
    updated_at = DateTimeTZField(constraints=NOW)
    version = IntegerField(default=1)
    overdue_told = BooleanField(default=False)
    forecast_told = JSONField(null=True)
    rescheduled_at = DateTimeTZField(null=True)

    # The tasks that a user without the rights of an admin may read, in three parts that have no task in common. These
    # are SQL conditions over `tasks t` and the parameter `actor_id`; `SHARED` is for tasks of the user's groups.
    OWNED: ClassVar[str] = "t.user_id = %(actor_id)s"
    ASSIGNED: ClassVar[str] = "t.assignee_id = %(actor_id)s AND t.user_id <> %(actor_id)s"
    SHARED: ClassVar[str] = "t.user_id <> %(actor_id)s AND t.assignee_id IS DISTINCT FROM %(actor_id)s"

    class Meta:
        table_name = "tasks"

    @classmethod
    def visible_columns(cls, alias: str | None = None) -> list[str]:
        """Return the columns that clients see, and the computed ones: `completed`, the place and the forecast."""
        columns = super().visible_columns(alias)
        table = alias or cls.table()
        columns.insert(columns.index(f"{table}.completed_at"), f"{table}.status = 'done' AS completed")
        after_weather = columns.index(f"{table}.weather_rule")
        columns[after_weather:after_weather] = [place_of_task(table), forecast_of_task(table)]
        return columns

    @staticmethod
    def visible_to(reader: str = "%(actor_id)s") -> str:
        """Return the SQL condition, over `tasks t`, of tasks that a user without the rights of an admin may read.

        `reader` is the SQL of the user's id; by default it is the parameter `actor_id`. For lists, the three parts
        above are faster.
        """
        # The groups are in an ARRAY, so that PostgreSQL reads them once before the scan. Then it can use three indexes.
        return f"""(t.user_id = {reader} OR t.assignee_id = {reader} OR t.group_id = ANY(
            ARRAY(SELECT group_id FROM group_members WHERE user_id = {reader})))"""


TASK_JSON: Final = Task.json("t")
"""A task as clients see it, in SQL over `tasks t`.

PostgreSQL builds the text, so that a read needs neither model objects nor a second serialization. Reads, lists, the
responses to writes, and events all use this one form.
"""
