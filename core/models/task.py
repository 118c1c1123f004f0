"""Tasks, their one JSON form, and the queries that lists are made of."""

from typing import Final

from peewee import SQL, BigIntegerField, BooleanField, CharField, IdentityField, IntegerField, JSONField

from core.models.base import BaseModel, DateTimeTZField

STATUSES: Final = ("todo", "in_progress", "done")
PRIORITIES: Final = ("low", "medium", "high", "urgent")

# A task as clients see it. PostgreSQL builds the text, so that a read costs neither model objects nor a second
# serialization; events carry the very same form.
TASK_JSON: Final = """(SELECT row_to_json(fields) FROM (SELECT
    t.id, t.title, t.description, t.status, t.priority, t.due_at, t.city, t.weather, t.weather_status, t.user_id,
    t.assignee_id, t.group_id, t.status = 'done' AS completed, t.completed_at, t.created_at, t.updated_at, t.version
) fields)"""


class Task(BaseModel):
    """A task. Its weather is brought by a worker, which notes its attempts here."""

    id = IdentityField()
    title = CharField(255)
    description = CharField(5000, null=True)
    status = CharField(20, default="todo")
    priority = CharField(10, default="medium")
    due_at = DateTimeTZField(null=True)
    city = CharField(120, null=True)
    city_key = CharField(400, null=True)
    weather = JSONField(null=True)
    weather_status = CharField(12, null=True)
    weather_attempts = IntegerField(default=0)
    weather_next_attempt_at = DateTimeTZField(null=True)
    user_id = BigIntegerField()
    assignee_id = BigIntegerField(null=True)
    group_id = BigIntegerField(null=True)
    completed_at = DateTimeTZField(null=True)
    created_at = DateTimeTZField(constraints=[SQL("DEFAULT now()")])
    updated_at = DateTimeTZField(constraints=[SQL("DEFAULT now()")])
    version = IntegerField(default=1)
    overdue_told = BooleanField(default=False)

    class Meta:
        table_name = "tasks"

    @staticmethod
    def visible_to(*, is_admin: bool) -> str:
        """The condition, in SQL over `tasks t` and the parameter `actor_id`, under which one may read a task."""
        # As an array the groups are looked up once, before the scan, so that the condition can use three indexes.
        return (
            "true"
            if is_admin
            else """(t.user_id = %(actor_id)s OR t.assignee_id = %(actor_id)s OR t.group_id = ANY(
            ARRAY(SELECT group_id FROM group_members WHERE user_id = %(actor_id)s)))"""
        )
