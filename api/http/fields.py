"""What bodies, queries and answers have in common.

A body is read in pydantic's strict JSON mode and a query or a form in its mode for strings (see `api.http.validation`),
so a type that takes text, such as a time or a whole number, says here which text that is.
"""

import re
from datetime import UTC, date, datetime
from typing import Annotated, Final, Generic, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

from core.messages import msg

LARGEST_ID: Final = 2**63 - 1
_LARGEST_SKIP: Final = 2**31 - 1
_PAGE_LENGTH: Final = 100

_RFC_3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_WHOLE_NUMBER: Final = re.compile(r"-?\d{1,30}", re.ASCII)

# Within these years a time can take any zone, and a day more, and still be one for Python and for PostgreSQL.
_YEARS: Final = range(1900, 9999)

_INSTANT_HELP: Final = msg("must be a time with its zone, such as 2026-05-01T09:00:00Z")
_DAY_HELP: Final = msg("must be a date, such as 2026-05-01")
_YEARS_HELP: Final = msg("must be in a year from {first} to {last}", first=_YEARS.start, last=_YEARS.stop - 1)


class Input(BaseModel):
    """What a client sends: nothing unknown in it, no space around its texts, and never shown in an error."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, hide_input_in_errors=True, allow_inf_nan=False)


class FormInput(Input):
    """What a client sends as a URL-encoded form."""


def _parse_instant(value: object) -> datetime:
    if not isinstance(value, str) or not _RFC_3339.fullmatch(value):
        raise ValueError(_INSTANT_HELP)
    try:
        instant = datetime.fromisoformat(value.upper())
    except ValueError:
        raise ValueError(_INSTANT_HELP) from None
    if instant.year not in _YEARS:
        raise ValueError(_YEARS_HELP)
    return instant.astimezone(UTC)


def _parse_day(value: object) -> date:
    if not isinstance(value, str) or not _DAY.fullmatch(value):
        raise ValueError(_DAY_HELP)
    try:
        day = date.fromisoformat(value)
    except ValueError:
        raise ValueError(_DAY_HELP) from None
    if day.year not in _YEARS:
        raise ValueError(_YEARS_HELP)
    return day


def _refuse_odd_digits(value: object) -> object:
    """Python reads `1_0`, `+5` and other scripts' digits as numbers too; a query does not mean them so."""
    if isinstance(value, str) and not _WHOLE_NUMBER.fullmatch(value):
        raise ValueError(msg("must be a whole number"))
    return value


Instant = Annotated[
    datetime,
    BeforeValidator(_parse_instant),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-05-01T09:00:00Z"]}),
]
"""A point in time, RFC 3339 with its zone; in Python an aware datetime in UTC."""

Day = Annotated[
    date,
    BeforeValidator(_parse_day),
    WithJsonSchema({"type": "string", "format": "date", "examples": ["2026-05-01"]}),
]
"""A date of the calendar."""

AsciiDigits = BeforeValidator(_refuse_odd_digits)
"""Takes a number in ASCII digits only. It stands last, as in `Annotated[int, Field(ge=0), AsciiDigits]`."""

Identifier = Annotated[int, Field(ge=1, le=LARGEST_ID, examples=[7]), AsciiDigits]
"""The number of a row."""

Verbatim = StringConstraints(strip_whitespace=False)
"""Keeps the space around a text, as in `Annotated[str, Verbatim]`: in a password it counts."""


class PageQuery(Input):
    """Which part of a list to return."""

    skip: Annotated[
        int, Field(ge=0, le=_LARGEST_SKIP, description="How many items to leave out at the beginning."), AsciiDigits
    ] = 0
    limit: Annotated[
        int, Field(ge=1, le=_PAGE_LENGTH, description="How many items to answer at most."), AsciiDigits
    ] = _PAGE_LENGTH


_Item = TypeVar("_Item")


class ListOf(BaseModel, Generic[_Item]):
    """A page of a list. `total` counts the items of all pages."""

    items: list[_Item]
    total: int
    skip: int
    limit: int


class ProblemField(BaseModel):
    """What is wrong with one field; `field` is its dotted path, and empty where all fields together are meant."""

    field: str
    message: str


class Problem(BaseModel):
    """Why a request was not served (RFC 9457). `code` is stable; `detail` is for people."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str | None
    errors: list[ProblemField] = Field(default=[], description="Every field that is wrong, where fields are.")
