"""The field types and base models that request bodies, queries and responses share.

Pydantic validates a body in its strict JSON mode, and a query or a form in its mode for strings (see
`api.http.validation`). The types of this module, such as times and whole numbers, define which texts they accept.
"""

import re
from datetime import UTC, date, datetime
from typing import Annotated, Final, Generic, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema, model_validator

from core.messages import msg

LARGEST_ID: Final = 2**63 - 1
_LARGEST_SKIP: Final = 2**31 - 1
LONGEST_PAGE: Final = 1000
_PAGE_LENGTH: Final = 100

_RFC_3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_WHOLE_NUMBER: Final = re.compile(r"-?\d{1,30}", re.ASCII)

# Times in these years can be converted to any zone and moved by a day without leaving the range of Python's datetime.
_YEARS: Final = range(1900, 9999)

_INSTANT_HELP: Final = msg("must be a time with its zone, such as 2026-05-01T09:00:00Z")
_DAY_HELP: Final = msg("must be a date, such as 2026-05-01")
_YEARS_HELP: Final = msg("must be in a year from {first} to {last}", first=_YEARS.start, last=_YEARS.stop - 1)


class Input(BaseModel):
    """The base of everything that a client sends.

    Unknown fields are refused, space around texts is removed, and errors never contain the input.
    """

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, hide_input_in_errors=True, allow_inf_nan=False)


class FormInput(Input):
    """The base of everything that a client sends as a URL-encoded form."""


class WrongField(ValueError):  # noqa: N818 - it names what is wrong, as pydantic's own errors do.
    """Raised by a check of several fields together, if one of them is at fault; `field` is its name."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def refuse_null(instance: Input, *names: str) -> None:
    """Refuse null for fields that may be left out, but have no value that means nothing.

    Raises:
        WrongField: for the first of these fields that is null.
    """
    for name in names:
        if name in instance.model_fields_set and getattr(instance, name) is None:
            raise WrongField(name, msg("cannot be null"))


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


def _require_ascii_digits(value: object) -> object:
    """Refuse texts such as `1_0`, `+5` and digits of other scripts, which Python would also read as numbers."""
    if isinstance(value, str) and not _WHOLE_NUMBER.fullmatch(value):
        raise ValueError(msg("must be a whole number"))
    return value


Instant = Annotated[
    datetime,
    BeforeValidator(_parse_instant),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-05-01T09:00:00Z"]}),
]
"""A point in time: RFC 3339 with a time zone in JSON, an aware datetime in UTC in Python."""

Day = Annotated[
    date,
    BeforeValidator(_parse_day),
    WithJsonSchema({"type": "string", "format": "date", "examples": ["2026-05-01"]}),
]
"""A calendar date, such as 2026-05-01."""

AsciiDigits = BeforeValidator(_require_ascii_digits)
"""Accepts a number in ASCII digits only. It must come last, as in `Annotated[int, Field(ge=0), AsciiDigits]`."""

Identifier = Annotated[int, Field(ge=1, le=LARGEST_ID, examples=[7]), AsciiDigits]
"""The id of a row."""

Verbatim = StringConstraints(strip_whitespace=False)
"""Keeps the space around a text, as in `Annotated[str, Verbatim]`. Space is significant in passwords."""


PageLength = Annotated[
    int, Field(ge=1, le=LONGEST_PAGE, description="The largest number of items in the response."), AsciiDigits
]
"""How many items a page may have."""


class PageQuery(Input):
    """Which part of a list to return."""

    skip: Annotated[
        int, Field(ge=0, le=_LARGEST_SKIP, description="How many items to skip at the beginning."), AsciiDigits
    ] = 0
    limit: PageLength = _PAGE_LENGTH


class CursorQuery(PageQuery):
    """Which part of a list to return: after some items, or after the page that a cursor ends."""

    cursor: (
        Annotated[str, Field(max_length=500, description="The `next_cursor` of the page before; filters stay.")] | None
    ) = None

    @model_validator(mode="after")
    def _has_one_place(self) -> Self:
        if self.cursor is not None and self.skip:
            raise ValueError(msg("skip and cursor exclude each other"))
        return self


class ArrayQuery(PageQuery):
    """Which part of a list to return that is a bare array: nearly always all, since earlier clients ask for no page."""

    limit: PageLength = LONGEST_PAGE


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
