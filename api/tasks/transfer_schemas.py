"""Tasks as lines of a file, and the report of an import."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, RootModel, create_model

from api.http.fields import Input, ProblemField
from api.tasks.schemas import Latitude, Longitude, TaskInput, TaskOut

READ_ONLY: Final = tuple(name for name in TaskOut.model_fields if name not in TaskInput.model_fields)
_IGNORED: Final[dict[str, Any]] = dict.fromkeys(READ_ONLY, (Any, None))


def _none(_value: object) -> None:
    """Return nothing, in place of a value that is ignored."""


class ExportedPlace(BaseModel):
    """Where an exported task has its weather; its name and the rest are ignored."""

    latitude: Latitude
    longitude: Longitude


class _ExportedTask(TaskInput):
    """A task in a file, which may come from another installation, where places have other ids."""

    place: ExportedPlace | None = None

    def values(self) -> dict[str, Any]:
        """Return all writable fields. A task without a city gets the coordinates of its exported place."""
        values = super().values()
        if self.place is not None and self.city is None and self.latitude is None:
            values |= self.place.model_dump()
        return values


TaskLine = create_model(
    "TaskLine",
    __base__=_ExportedTask,
    __doc__="A task in a file. Read-only fields are accepted, because an export has them, but they are ignored. So is "
    "the id of a place, which another installation gives to another place; a task without a city gets the coordinates "
    "of its `place`.",
    **_IGNORED | {"place": (ExportedPlace | None, None), "place_id": (Annotated[Any, BeforeValidator(_none)], None)},
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
