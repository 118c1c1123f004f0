"""Writes tasks as JSON lines or CSV, and reads such files while they arrive.

Spreadsheet programs run a cell as a formula if it begins with one of `= + - @`, with the full-width form of one of
these, or with a tab or a line break. Such a cell is therefore written with an additional apostrophe at its beginning,
which is removed when the cell is read. The same happens to a cell in which apostrophes come before such a character, so
that reading always returns the original text.
"""

import csv
import io
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import falcon
import orjson

from api.http.bodies import CSV, JSON_LINES, JSON_LINES_ALIAS
from api.http.validation import JsonText, Pairs, Sent, validate
from api.tasks.schemas import TaskOut
from api.tasks.transfer_schemas import TaskLine
from core.errors import FieldError, Invalid
from core.messages import msg
from core.services.transfer import Line

MAX_LINE_BYTES: Final = 1024 * 1024

# These fields are not written to CSV, because they are not plain text or because other columns imply them.
_NOT_IN_TABLE: Final = frozenset(
    {
        "weather",
        "weather_status",
        "place_id",
        "place",
        "forecast",
        "weather_rule",
        "weather_state",
        "auto_reschedule",
        "user_id",
        "completed",
        "version",
    }
)
_FIELDS: Final = tuple(name for name in TaskOut.model_fields if name not in _NOT_IN_TABLE)
# Only a task without a city has these, because its place was chosen in another way.
_COORDINATES: Final = ("latitude", "longitude")
_COLUMNS: Final = _FIELDS + _COORDINATES
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_FORMULA_SIGN: Final = r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]"
_FORMULA: Final = re.compile(f"'*{_FORMULA_SIGN}")
_ESCAPED: Final = re.compile(f"'+{_FORMULA_SIGN}")

# These patterns find out whether all quotes of a CSV line are closed, or whether a cell continues on the next line. All
# quantifiers are possessive, so that matching never backtracks and takes linear time.
_REST_OF_QUOTED: Final = rb'(?:[^"]++|"")*+"[^,]*+'
_FIELD: Final = rb'(?:"' + _REST_OF_QUOTED + rb'|(?!")[^,]*+)'
_ALL_CLOSED: Final = re.compile(_FIELD + rb"(?:," + _FIELD + rb")*+")
_QUOTE_CLOSED: Final = re.compile(_REST_OF_QUOTED + rb"(?:," + _FIELD + rb")*+")


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes tasks in one format: its media type, the bytes before the first task, and the function for the tasks."""

    media_type: str
    head: bytes
    write: Callable[[Iterable[str]], bytes]


def _write_json_lines(tasks: Iterable[str]) -> bytes:
    return "".join(f"{task}\n" for task in tasks).encode()


def _write_table(tasks: Iterable[str]) -> bytes:
    contents = map(orjson.loads, tasks)
    return _rows(map(_row, contents))


def _row(content: Mapping[str, Any]) -> list[str]:
    place = content["place"] if content["city"] is None else None
    coordinates = [None if place is None else place[name] for name in _COORDINATES]
    return [_cell(value) for value in [*(content[name] for name in _FIELDS), *coordinates]]


def _cell(value: str | float | None) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if _FORMULA.match(text) else text


def _rows(rows: Iterable[Iterable[str]]) -> bytes:
    file = io.StringIO(newline="")
    csv.writer(file).writerows(rows)
    return file.getvalue().encode()


WRITERS: Final = {
    "jsonl": Writer(JSON_LINES, b"", _write_json_lines),
    "csv": Writer(f"{CSV}; charset=utf-8", _rows([_COLUMNS]), _write_table),
}


class LineReader(ABC):
    """Splits a file into lines while it arrives, and reads the fields of a task from a line. Skips blank lines."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self._begin = 1
        self._ended = 0
        self._line_start = 0

    def feed(self, chunk: bytes) -> Iterator[Line]:
        """Add the next chunk of the file and return the lines that it completes.

        Raises:
            falcon.HTTPContentTooLarge: if a line is longer than `MAX_LINE_BYTES`.
        """
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            self._ended += 1
            if not self._pending and not end.strip():
                # This is a shortcut for files with millions of blank lines.
                self._begin = self._ended + 1
                continue
            self._extend(end)
            if self._is_complete():
                yield from self._finish_line()
            else:
                self._pending += b"\n"
                self._line_start = len(self._pending)
        self._extend(rest)

    def end(self) -> Iterator[Line]:
        """Return the text after the last line break, if there is any. This must be called at the end of the file."""
        yield from self._finish_line()

    @abstractmethod
    def read(self, text: bytes) -> dict[str, Any]:
        """Return the writable fields of a task from a line.

        Raises:
            Invalid: if the line is not a valid task.
        """

    def _is_complete(self) -> bool:
        """Return whether the task ends at this line break. In CSV, a quoted cell may contain line breaks."""
        return True

    def _finish_line(self) -> Iterator[Line]:
        number, text = self._begin, bytes(self._pending)
        self._pending.clear()
        self._begin, self._line_start = self._ended + 1, 0
        if number == 1:
            text = text.removeprefix(_BYTE_ORDER_MARK)
        if text.strip():
            yield Line(number, text)

    def _extend(self, part: bytes) -> None:
        self._pending += part
        if len(self._pending) > MAX_LINE_BYTES:
            raise falcon.HTTPContentTooLarge(
                description=msg("A line may have at most {limit} bytes.", limit=MAX_LINE_BYTES)
            )


class JsonLinesReader(LineReader):
    """Reads a JSON document from each line."""

    def read(self, text: bytes) -> dict[str, Any]:
        """Read a JSON object."""
        try:
            content = orjson.loads(text)
        except orjson.JSONDecodeError:
            raise _invalid(msg("is no JSON")) from None
        return _writable(JsonText(text, content))


class TableReader(LineReader):
    """Reads the rows of a CSV table. The first row names the columns. A quoted cell may contain line breaks."""

    def __init__(self) -> None:
        super().__init__()
        self._columns: list[str] = []
        self._inside_quotes = False

    def read(self, text: bytes) -> dict[str, Any]:
        """Read a row. The field of an empty cell counts as missing."""
        cells = _cells(text)
        if len(cells) != len(self._columns):
            raise _invalid(msg("must have as many cells as the header"))
        return _writable(
            Pairs({column: _unescaped(cell) for column, cell in zip(self._columns, cells, strict=True) if cell})
        )

    def _is_complete(self) -> bool:
        if self._inside_quotes and self._pending.find(b'"', self._line_start) < 0:
            return False
        pattern = _QUOTE_CLOSED if self._inside_quotes else _ALL_CLOSED
        self._inside_quotes = pattern.fullmatch(self._pending, self._line_start) is None
        return not self._inside_quotes

    def _finish_line(self) -> Iterator[Line]:
        for line in super()._finish_line():
            if self._columns:
                yield line
            else:
                self._columns = _read_header(line.text)


READERS: Final[dict[str, type[LineReader]]] = {
    JSON_LINES: JsonLinesReader,
    JSON_LINES_ALIAS: JsonLinesReader,
    CSV: TableReader,
}


def _read_header(text: bytes) -> list[str]:
    names = [name.strip() for name in _cells(text, field="header")]
    if not set(names) <= TaskLine.model_fields.keys():
        raise _invalid(msg("can only name {columns}", columns=", ".join(TaskLine.model_fields)), field="header")
    if len(set(names)) < len(names):
        raise _invalid(msg("names a column twice"), field="header")
    return names


def _cells(text: bytes, *, field: str = "") -> list[str]:
    try:
        (row,) = csv.reader([text.decode()], strict=True)
    except UnicodeDecodeError:
        raise _invalid(msg("is no UTF-8"), field=field) from None
    except csv.Error:
        raise _invalid(msg("is no row of CSV"), field=field) from None
    return row


def _unescaped(cell: str) -> str:
    return cell[1:] if _ESCAPED.match(cell) else cell


def _writable(sent: Sent) -> dict[str, Any]:
    values = validate(TaskLine, sent).values()
    # An export has the end of the day too, in the time zone of the account that it comes from.
    return values if values["due_on"] is None else values | {"due_at": None}


def _invalid(message: str, *, field: str = "") -> Invalid:
    return Invalid([FieldError(field, message)])
