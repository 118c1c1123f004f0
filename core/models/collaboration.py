"""Comments on tasks, delegations, reminders, and the history of tasks."""

from typing import ClassVar

from peewee import SQL, BigIntegerField, CharField, IdentityField, IntegerField

from core.models.base import NOW, BaseModel, DateTimeTZField, JSONField


class Comment(BaseModel):
    """A comment on a task. `user_id` is null after the author's account was deleted."""

    id = IdentityField()
    task_id = BigIntegerField()
    user_id = BigIntegerField(null=True)
    body = CharField(5000)
    created_at = DateTimeTZField(constraints=NOW)
    updated_at = DateTimeTZField(constraints=NOW)

    class Meta:
        table_name = "comments"


class Delegation(BaseModel):
    """The account `actor_id` passed a task on, from one assignee to another."""

    # Clients see a delegation only in the list of its task.
    INTERNAL: ClassVar[frozenset[str]] = frozenset({"task_id"})

    id = IdentityField()
    task_id = BigIntegerField()
    actor_id = BigIntegerField(null=True)
    from_id = BigIntegerField(null=True)
    to_id = BigIntegerField(null=True)
    note = CharField(1000, null=True)
    created_at = DateTimeTZField(constraints=NOW)

    class Meta:
        table_name = "delegations"


class Reminder(BaseModel):
    """A reminder of a task, at a fixed time (`remind_at`) or `seconds_before_due` before the deadline.

    `fires_at` is when it is due; it is null while the reminder depends on a deadline that the task does not have.
    `fired_at` is when it fired.
    """

    id = IdentityField()
    task_id = BigIntegerField()
    user_id = BigIntegerField(null=True)
    remind_at = DateTimeTZField(null=True)
    seconds_before_due = IntegerField(null=True)
    fires_at = DateTimeTZField(null=True)
    fired_at = DateTimeTZField(null=True)
    created_at = DateTimeTZField(constraints=NOW)

    class Meta:
        table_name = "reminders"


class TaskActivity(BaseModel):
    """An entry of a task's history. `changes` holds `{"from": …, "to": …}` by the names of the fields."""

    # Clients see an entry only in the history of its task.
    INTERNAL: ClassVar[frozenset[str]] = frozenset({"task_id"})

    id = IdentityField()
    task_id = BigIntegerField()
    at = DateTimeTZField(constraints=[SQL("DEFAULT clock_timestamp()")])
    type = CharField(40)
    actor_id = BigIntegerField(null=True)
    changes = JSONField()

    class Meta:
        table_name = "task_activity"
