"""From what was sent to what was meant: one schema, every mistake told at once, and nothing of the input repeated."""

from collections.abc import Iterable, Iterator, Mapping
from functools import reduce
from itertools import islice
from typing import Any, Final, Protocol, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from core.errors import FieldError, Invalid
from core.messages import Message, msg

_Model = TypeVar("_Model", bound=BaseModel)

# An answer stays small whatever was sent: so many mistakes, and so many characters of each path.
_MISTAKES_TOLD: Final = 100
_PATH_LENGTH: Final = 200

_NUL: Final = "\x00"
_NUL_ESCAPE: Final = rb"\u0000"
_NUL_MESSAGE: Final = msg("must not hold the character NUL")
_REPEATED_MESSAGE: Final = msg("must be given only once")

# What pydantic finds wrong, by its names; the words in braces are what it says about each.
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
"""A path from its end: the link to all before the last part, and that part."""


class Sent(Protocol):
    """Something a client sent that a schema can be held against."""

    @property
    def content(self) -> Any:
        """The plain data in it."""

    def fill(self, model: type[_Model]) -> _Model:
        """Make an instance of the schema, or raise pydantic's ValidationError."""

    def mistakes(self) -> Iterator[FieldError]:
        """What is wrong with it whatever the schema."""


class JsonText:
    """A JSON document: `text`, and `content` as it was parsed."""

    __slots__ = ("content", "text")

    def __init__(self, text: bytes, content: Any) -> None:
        self.text = text
        self.content = content

    def fill(self, model: type[_Model]) -> _Model:
        """Fill the schema strictly: a number in quotes is no number."""
        return model.model_validate_json(self.text, strict=True)

    def mistakes(self) -> Iterator[FieldError]:
        """Tell where NUL stands, which no text column can hold."""
        if _NUL_ESCAPE in self.text:
            for path in _paths_to_nul(self.content):
                yield FieldError(_dotted(path), _NUL_MESSAGE)


class Pairs:
    """The names and values of a query string or a form; a value is a list where the name was repeated."""

    __slots__ = ("content",)

    def __init__(self, content: Mapping[str, str | list[str]]) -> None:
        self.content = content

    def fill(self, model: type[_Model]) -> _Model:
        """Fill the schema from text; of a repeated value the last one is looked at."""
        single = {name: value if isinstance(value, str) else value[-1] for name, value in self.content.items()}
        return model.model_validate_strings(single)

    def mistakes(self) -> Iterator[FieldError]:
        """Tell which names were repeated, and where NUL stands."""
        for name, value in self.content.items():
            if not isinstance(value, str):
                yield FieldError(_dotted((name,)), _REPEATED_MESSAGE)
            elif _NUL in name or _NUL in value:
                yield FieldError(_dotted((name,)), _NUL_MESSAGE)


def validate(model: type[_Model], sent: Sent) -> _Model:
    """Hold what was sent against a schema.

    Raises:
        Invalid: with every field that is wrong.
    """
    mistakes = list(islice(sent.mistakes(), _MISTAKES_TOLD))
    try:
        instance = sent.fill(model)
    except ValidationError as error:
        mistakes += islice(_schema_mistakes(error, sent.content), _MISTAKES_TOLD)
    else:
        if not mistakes:
            return instance
    # Raised out here, the failure does not carry pydantic's error along, which holds what was sent.
    raise Invalid(_merged(mistakes))


def _schema_mistakes(error: ValidationError, content: Any) -> Iterator[FieldError]:
    for item in error.errors(include_url=False, include_input=False):
        yield FieldError(_dotted(_path_within(content, item["loc"], item["type"])), _message(item))


def _path_within(content: Any, location: _Path, kind: str) -> Iterator[int | str]:
    """Leave out of pydantic's location what names a branch of a type instead of a part of the content."""
    for part in location:
        if isinstance(part, int):
            content = content[part] if isinstance(content, list) else None
        elif isinstance(content, Mapping) and (part in content or kind == "missing"):
            content = content.get(part)
        else:
            continue
        yield part


def _message(item: ErrorDetails) -> str:
    context = item.get("ctx", {})
    if item["type"] == "value_error":
        said: str = context["error"].args[0]
        return said
    return Message(MESSAGES.get(item["type"], _NOT_VALID).template, **context)


def _merged(mistakes: list[FieldError]) -> list[FieldError]:
    """One entry a field: where all branches of a type failed, that is one mistake with several ways out of it."""
    messages: dict[str, list[str]] = {}
    for mistake in mistakes[:_MISTAKES_TOLD]:
        told = messages.setdefault(mistake.field, [])
        if mistake.message not in told:
            told.append(mistake.message)
    return [FieldError(field, reduce(_either, told)) for field, told in messages.items()]


def _either(one: str, other: str) -> str:
    return msg("{one}, or {other}", one=one, other=other)


def _paths_to_nul(content: Any) -> Iterator[_Path]:
    """Search without recursion and without copies of paths: what was sent decides how deep and wide this goes."""
    waiting: list[tuple[_Link, Any]] = [(None, content)]
    while waiting:
        link, value = waiting.pop()
        if isinstance(value, str):
            if _NUL in value:
                yield _unwound(link)
        elif isinstance(value, dict):
            for name, item in value.items():
                if _NUL in name:
                    yield _unwound((link, name))
                waiting.append(((link, name), item))
        elif isinstance(value, list):
            waiting.extend(((link, index), item) for index, item in enumerate(value))


def _unwound(link: "_Link") -> _Path:
    parts: list[int | str] = []
    while link is not None:
        link, part = link
        parts.append(part)
    return reversed(parts)


def _dotted(path: _Path) -> str:
    return ".".join(map(str, path))[:_PATH_LENGTH]
