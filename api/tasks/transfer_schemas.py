"""Tasks as lines of a file, and the report of an import."""

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, RootModel, create_model

from api.http.fields import Input, ProblemField
from api.tasks.schemas import TaskInput, TaskOut

READ_ONLY: Final = tuple(name for name in TaskOut.model_fields if name not in TaskInput.model_fields)
_IGNORED: Final[dict[str, Any]] = dict.fromkeys(READ_ONLY, (Any, None))

TaskLine = create_model(
    "TaskLine",
    __base__=TaskInput,
    __doc__="A task in a file. Read-only fields are accepted, because an export has them, but they are ignored.",
    **_IGNORED,
)


class ExportQuery(Input):
    """The format of the file."""

    format: Literal["jsonl", "csv"] = "jsonl"


class TaskLines(RootModel[str]):
    """Tasks, each the JSON of a task on a line of its own."""

    model_config = ConfigDict(
        json_schema_extra={"examples": ['{"title":"Clean the gutters","city":"London"}\n{"title":"Mow the lawn"}\n']}
    )


class TaskTable(RootModel[str]):
    """Tasks as CSV (RFC 4180), with a header that names the columns."""

    model_config = ConfigDict(
        json_schema_extra={"examples": ["title,city,status\r\nClean the gutters,London,todo\r\nMow the lawn,,done\r\n"]}
    )


class RefusedLine(BaseModel):
    """Why a line was refused."""

    line: int
    errors: list[ProblemField]


class ImportReport(BaseModel):
    """How many lines became tasks, and how many were refused. `errors` has the first hundred that were refused."""

    created: int
    failed: int
    errors: list[RefusedLine]
