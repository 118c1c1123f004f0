"""Validates input against a schema. An error lists the wrong fields together and never repeats the input."""

from collections.abc import Iterable, Iterator, Mapping
from functools import reduce
from itertools import islice
from typing import Any, Final, Protocol, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from api.http.fields import WrongField
from core.errors import FieldError, Invalid
from core.messages import Message, msg

_Model = TypeVar("_Model", bound=BaseModel)

# These limits keep the error response small: how many mistakes it lists, and how many characters the whole path and
# each of its names have. No name of a schema is so long, but a client may send any name.
_MAX_MISTAKES: Final = 50
# Pydantic can only build all of its errors or none, which takes about a second for a body of 1 MB with 100,000 errors.
# Above this number none is built, and the response says only that there are too many.
_MAX_SCHEMA_ERRORS: Final = 1000
_MAX_PATH_LENGTH: Final = 200
_MAX_NAME_LENGTH: Final = 40

_NUL: Final = "\x00"
_NUL_ESCAPE: Final = rb"\u0000"
_NUL_MESSAGE: Final = msg("must not hold the character NUL")
_REPEATED_MESSAGE: Final = msg("must be given only once")
_TOO_MANY_MESSAGE: Final = msg("has too many mistakes to list them")

# The message for each of pydantic's error types. Pydantic provides the values for the names in braces.
MESSAGES: Final = {
    "missing": msg("is required"),
    "extra_forbidden": msg("is not known here"),
    "model_type": msg("must be a JSON object"),
    "model_attributes_type": msg("must be a JSON object"),
    "dict_type": msg("must be a JSON object"),
    "list_type": msg("must be a list"),
    "tuple_type": msg("must be a list"),
    "set_type": msg("must be a list"),
    "frozen_set_type": msg("must be a list"),
    "too_short": msg("must have a length of at least {min_length}"),
    "too_long": msg("must have a length of at most {max_length}"),
    "string_type": msg("must be a string"),
    "string_too_short": msg("must have a length of at least {min_length}"),
    "string_too_long": msg("must have a length of at most {max_length}"),
    "string_pattern_mismatch": msg("must match {pattern}"),
    "int_type": msg("must be a whole number"),
    "int_parsing": msg("must be a whole number"),
    "int_parsing_size": msg("must be a whole number"),
    "int_from_float": msg("must be a whole number"),
    "greater_than_equal": msg("must be at least {ge}"),
    "less_than_equal": msg("must be at most {le}"),
    "bool_type": msg("must be true or false"),
    "bool_parsing": msg("must be true or false"),
    "literal_error": msg("must be {expected}"),
    "enum": msg("must be {expected}"),
    "date_type": msg("must be a date, such as 2026-05-01"),
    "date_parsing": msg("must be a date, such as 2026-05-01"),
    "date_from_datetime_parsing": msg("must be a date, such as 2026-05-01"),
    "date_from_datetime_inexact": msg("must be a date, such as 2026-05-01"),
    "none_required": msg("must be null"),
    "union_tag_invalid": msg("must be one of: {expected_tags}"),
    "union_tag_not_found": msg("is required"),
}
_NOT_VALID: Final = msg("is not valid")

_Path = Iterable[int | str]
_Link = tuple["_Link", int | str] | None
"""A path as a linked list: the link to the parts before the last one, and the last part."""


class Sent(Protocol):
    """Input from a client that can be validated against a schema."""

    @property
    def content(self) -> Any:
        """The input as plain data."""

    def fill(self, model: type[_Model]) -> _Model:
        """Return an instance of the schema.

        Raises:
            ValidationError: pydantic's own, if the input does not fit.
        """

    def mistakes(self) -> Iterator[FieldError]:
        """Return the mistakes that do not depend on a schema."""


class JsonText:
    """A JSON document: its `text`, and its parsed `content`."""

    __slots__ = ("content", "text")

    def __init__(self, text: bytes, content: Any) -> None:
        self.text = text
        self.content = content

    def fill(self, model: type[_Model]) -> _Model:
        """Validate in strict mode, in which a number in quotes is not a number."""
        return model.model_validate_json(self.text, strict=True)

    def mistakes(self) -> Iterator[FieldError]:
        """Return where the document contains NUL, which PostgreSQL cannot store in a text column."""
        if _NUL_ESCAPE in self.text:
            for path in _paths_to_nul(self.content):
                yield FieldError(_dotted(path), _NUL_MESSAGE)


class Pairs:
    """The names and values of a query string or a form. The value of a repeated name is a list."""

    __slots__ = ("content",)

    def __init__(self, content: Mapping[str, str | list[str]]) -> None:
        self.content = content

    def fill(self, model: type[_Model]) -> _Model:
        """Validate in the mode for strings. For a repeated name, only the last value is used."""
        single = {name: value if isinstance(value, str) else value[-1] for name, value in self.content.items()}
        return model.model_validate_strings(single)

    def mistakes(self) -> Iterator[FieldError]:
        """Return which names were repeated, and which names or values contain NUL."""
        for name, value in self.content.items():
            if not isinstance(value, str):
                yield FieldError(_dotted((name,)), _REPEATED_MESSAGE)
            elif _NUL in name or _NUL in value:
                yield FieldError(_dotted((name,)), _NUL_MESSAGE)


def validate(model: type[_Model], sent: Sent) -> _Model:
    """Return the input as an instance of the schema.

    Raises:
        Invalid: with the first wrong fields, or without any field if there are too many.
    """
    mistakes = list(islice(sent.mistakes(), _MAX_MISTAKES))
    try:
        instance = sent.fill(model)
    except ValidationError as error:
        if error.error_count() > _MAX_SCHEMA_ERRORS:
            mistakes = [FieldError("", _TOO_MANY_MESSAGE)]
        else:
            mistakes += islice(_schema_mistakes(error, sent.content), _MAX_MISTAKES)
    else:
        if not mistakes:
            return instance
    # This is not raised in the `except` block, because it would then carry pydantic's error, which contains the input.
    raise Invalid(_merged(mistakes))


def _schema_mistakes(error: ValidationError, content: Any) -> Iterator[FieldError]:
    for item in error.errors(include_url=False, include_input=False):
        path = [*_path_within(content, item["loc"], item["type"])]
        cause = item.get("ctx", {}).get("error")
        if isinstance(cause, WrongField):
            path.append(cause.field)
        yield FieldError(_dotted(path), _message(item))


def _path_within(content: Any, location: tuple[int | str, ...], kind: str) -> Iterator[int | str]:
    """Return pydantic's location without the parts that name a branch of a union instead of a part of the content."""
    for number, part in enumerate(location, start=1):
        is_missing = kind == "missing" and number == len(location)
        if isinstance(part, int):
            content = content[part] if isinstance(content, list) else None
        elif isinstance(content, Mapping) and (part in content or is_missing):
            content = content.get(part)
        else:
            continue
        yield part


def _message(item: ErrorDetails) -> str:
    context = item.get("ctx", {})
    if item["type"] == "value_error":
        message: str = context["error"].args[0]
        return message
    return Message(MESSAGES.get(item["type"], _NOT_VALID).template, **context)


def _merged(mistakes: list[FieldError]) -> list[FieldError]:
    """Merge the mistakes of each field into one, because pydantic reports one error for each branch of a union."""
    messages: dict[str, list[str]] = {}
    for mistake in mistakes[:_MAX_MISTAKES]:
        texts = messages.setdefault(mistake.field, [])
        if mistake.message not in texts:
            texts.append(mistake.message)
    return [FieldError(field, reduce(_either, texts)) for field, texts in messages.items()]


def _either(one: str, other: str) -> str:
    return msg("{one}, or {other}", one=one, other=other)


def _paths_to_nul(content: Any) -> Iterator[_Path]:
    """Search without recursion and without copying paths, because the input may be very deep or very wide."""
    pending: list[tuple[_Link, Any]] = [(None, content)]
    while pending:
        link, value = pending.pop()
        if isinstance(value, str):
            if _NUL in value:
                yield _path_of(link)
        elif isinstance(value, dict):
            for name, item in value.items():
                if _NUL in name:
                    yield _path_of((link, name))
                pending.append(((link, name), item))
        elif isinstance(value, list):
            pending.extend(((link, index), item) for index, item in enumerate(value))


def _path_of(link: "_Link") -> _Path:
    parts: list[int | str] = []
    while link is not None:
        link, part = link
        parts.append(part)
    return reversed(parts)


def _dotted(path: _Path) -> str:
    return ".".join(_shortened(str(part)) for part in path)[:_MAX_PATH_LENGTH]


def _shortened(name: str) -> str:
    return name if len(name) <= _MAX_NAME_LENGTH else f"{name[: _MAX_NAME_LENGTH - 1]}…"
