"""Request bodies and responses of bulk changes to tasks."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.http.fields import Identifier, Input
from api.tasks.schemas import TaskInput, TaskOut, TaskPatch
from core.services.bulk import TaskChange

_LARGEST_VERSION = 2**31 - 1
_MOST_OPERATIONS = 100

Version = Annotated[
    int, Field(ge=1, le=_LARGEST_VERSION, description="Refuse the operation unless the task has this version.")
]


class CreateOperation(Input):
    """A task to create."""

    op: Literal["create"]
    task: TaskInput

    def change(self) -> TaskChange:
        """Return the change in the form that the use case takes."""
        return TaskChange("create", None, self.task.values(), None)


class UpdateOperation(Input):
    """A task to change, with a merge patch."""

    op: Literal["update"]
    id: Identifier
    task: TaskPatch
    version: Version | None = None

    def change(self) -> TaskChange:
        """Return the change in the form that the use case takes."""
        return TaskChange("update", self.id, self.task.values(), self.version)


class DeleteOperation(Input):
    """A task to delete."""

    op: Literal["delete"]
    id: Identifier
    version: Version | None = None

    def change(self) -> TaskChange:
        """Return the change in the form that the use case takes."""
        return TaskChange("delete", self.id, {}, self.version)


AnyOperation = Annotated[CreateOperation | UpdateOperation | DeleteOperation, Field(discriminator="op")]


class BulkRequest(Input):
    """Operations, which are carried out in this order. With `atomic`, either all of them are carried out or none."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "operations": [
                        {"op": "create", "task": {"title": "Clean the gutters"}},
                        {"op": "update", "id": 7, "task": {"status": "done"}, "version": 2},
                        {"op": "delete", "id": 8},
                    ]
                }
            ]
        }
    )

    operations: Annotated[list[AnyOperation], Field(min_length=1, max_length=_MOST_OPERATIONS)]
    atomic: bool = False


class BulkResult(BaseModel):
    """The result of one operation: its status, and either the task (of a deletion: as it was before) or the problem."""

    status: int
    task: TaskOut | None = None
    problem: dict[str, Any] | None = None


class BulkAnswer(BaseModel):
    """One result for each operation, in the order of the operations."""

    results: list[BulkResult]
