"""Tasks as lines of a file: the readers accept what the writers produce, and report invalid lines."""

from typing import Any, Final

import falcon
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.tasks.lines import MAX_LINE_BYTES, WRITERS, JsonLinesReader, LineReader, TableReader
from api.tasks.schemas import TaskInput
from api.tasks.transfer_schemas import READ_ONLY
from core.errors import Invalid

READERS: dict[str, type[LineReader]] = {"jsonl": JsonLinesReader, "csv": TableReader}
TASK: dict[str, Any] = {
    "id": 7, "title": "x", "description": None, "status": "todo", "priority": "high", "city": None, "place": None,
    "due_at": "2026-05-01T09:00:00+00:00", "due_on": None, "duration_minutes": 90, "weather_rule": None,
    "auto_reschedule": None,
    "weather": {"temperature": 1.5}, "weather_status": None, "user_id": 1,
    "assignee_id": 2, "group_id": None, "completed": False, "completed_at": None, "created_at": "2026-05-01T09:00:00Z",
    "updated_at": "2026-05-01T09:00:00Z", "version": 1,
}  # fmt: skip
# The last four are the full-width forms of the first four; some spreadsheets treat them in the same way.
FORMULA_SIGNS = "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"


def file_of(name: str, *tasks: dict[str, Any]) -> bytes:
    writer = WRITERS[name]
    return writer.head + writer.write(orjson.dumps(task).decode() for task in tasks)


def fields_of(reader: LineReader, content: bytes, chunk: int = 7) -> list[dict[str, Any]]:
    """Return the tasks that a reader reads from a file in chunks of `chunk` bytes."""
    return [reader.read(line.text) for line in lines_of(reader, content, chunk)]


def lines_of(reader: LineReader, content: bytes, chunk: int = 7) -> Any:
    for start in range(0, len(content), chunk):
        yield from reader.feed(content[start : start + chunk])
    yield from reader.end()


def numbers(reader: LineReader, content: bytes) -> list[int]:
    return [line.number for line in lines_of(reader, content)]


def mistakes(reader: LineReader, line: bytes) -> list[tuple[str, str]]:
    with pytest.raises(Invalid) as failure:
        fields_of(reader, line)
    return [(error.field, error.message) for error in failure.value.errors]


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40).map(
    str.strip
)


@pytest.mark.parametrize("name", READERS)
@given(title=TEXTS.filter(bool), description=st.none() | TEXTS.filter(bool), chunk=st.integers(1, 300))
def test_written_tasks_can_be_read(name: str, title: str, description: str | None, chunk: int) -> None:
    task = TASK | {"title": title, "description": description}

    read = fields_of(READERS[name](), file_of(name, task, TASK), chunk)

    expected = [
        TaskInput.model_validate({key: each[key] for key in TaskInput.model_fields.keys() & each})
        for each in (task, TASK)
    ]
    assert read == [each.values() for each in expected]


@pytest.mark.parametrize(
    "text", ["'=1", "''+1", "'quoted'", "a=1", "'", "=", *(f"{sign}1+1" for sign in FORMULA_SIGNS)]
)
def test_no_csv_cell_is_a_formula_and_its_text_is_read_unchanged(text: str) -> None:
    written = file_of("csv", TASK | {"city": f"a\n{text}", "title": text})

    cell = written.decode().split("\r\n", 1)[1].split(",")[1].strip('"')
    assert cell[:1] not in set(FORMULA_SIGNS)
    (fields,) = fields_of(TableReader(), written)
    assert (fields["title"], fields["city"]) == (text.strip(), f"a\n{text}".strip())


def test_a_csv_file_has_its_header_even_without_tasks() -> None:
    assert WRITERS["csv"].head == (
        b"id,title,description,status,priority,due_at,due_on,duration_minutes,city,assignee_id,group_id,completed_at,"
        b"created_at,updated_at,latitude,longitude\r\n"
    )


PLACE: Final = {"id": 3, "name": "Santiago", "latitude": -33.45694, "longitude": -70.64827, "country_code": "CL"}


@pytest.mark.parametrize("name", READERS)
def test_a_chosen_place_is_read_as_its_coordinates_since_its_id_means_nothing_elsewhere(name: str) -> None:
    chosen, of_city = (TASK | {"place": PLACE, "place_id": 3, "city": city} for city in (None, "Oslo"))

    read = fields_of(READERS[name](), file_of(name, chosen, of_city))

    assert [(task["city"], task["place_id"], task["latitude"], task["longitude"]) for task in read] == [
        (None, None, -33.45694, -70.64827),
        ("Oslo", None, None, None),
    ]


def test_the_line_number_is_that_of_the_first_line_and_blank_lines_are_skipped() -> None:
    assert numbers(JsonLinesReader(), b'\xef\xbb\xbf{"a":1}\r\n\r\n \n{}\n{}') == [1, 4, 5]
    assert numbers(TableReader(), b'\xef\xbb\xbftitle\r\n\r\n"a\n\n""b"\r\nc\r\n') == [3, 6]


@pytest.mark.parametrize("text", [b'5" pipe', b'a "quoted" word', b'x"', b'""""', b'"a,""b"",\n\n"', b"''"])
def test_csv_quoting_is_distinguished_from_quotes_in_the_text(text: bytes) -> None:
    fields = fields_of(TableReader(), b"title,city\n" + text + b",Bonn\nnext,Ulm\n", chunk=3)

    assert [field["city"] for field in fields] == ["Bonn", "Ulm"]


@pytest.mark.parametrize(
    ("line", "field"),
    [
        (b"nonsense", ""),
        (b"[]", ""),
        (b"7", ""),
        (b'{"title": NaN}', ""),
        (b'{"title": "\\ud800"}', ""),
        (b'{"title": "\xff"}', ""),
        (b'{"title": "\\u0000"}', "title"),
        (b'{"title": "\x00"}', ""),
        (b'{"title": "x", "assignee_id": "7"}', "assignee_id"),
        (b'{"title": "x", "assignee_id": 100000000000000000000000}', "assignee_id"),
        (b'{"title": "x", "owner": 7}', "owner"),
        (b'{"title": ' + b"[" * 500 + b"]" * 500 + b"}", ""),
        (b"[" * 500_000, ""),
        (b'{"title": "x", "weather": ' + b'{"a":' * 300 + b"1" + b"}" * 301, ""),
        ("{}".encode("utf-16"), ""),
    ],
    ids=lambda value: str(value)[:20],
)
def test_an_invalid_json_line_is_reported_with_its_field(line: bytes, field: str) -> None:
    assert [field for field, _ in mistakes(JsonLinesReader(), line)] == [field]


@pytest.mark.parametrize(
    ("row", "field"),
    [
        (b"x", ""),
        (b"x,1,2", ""),
        (b'"x,1', ""),
        (b'"x"y,1', ""),
        (b"\xff,1", ""),
        (b"a\rb,1", ""),
        (b"x\x00,1", "title"),
        (b",1", "title"),
        (b"x,1_0", "assignee_id"),
        (b"x," + b"9" * 5000, "assignee_id"),
        (b"x" * 200_000 + b",1", ""),
        (b"," * 500_000, ""),
    ],
    ids=lambda value: str(value)[:20],
)
def test_an_invalid_csv_row_is_reported_with_its_field(row: bytes, field: str) -> None:
    assert [field for field, _ in mistakes(TableReader(), b"title,assignee_id\n" + row)] == [field]


@pytest.mark.parametrize(
    "header", [b"title,nonsense", b"title,title", b"title,", b'"title', b"\xff", "title".encode("utf-16"), b"title\0"]
)
def test_an_invalid_csv_header_is_refused(header: bytes) -> None:
    assert [field for field, _ in mistakes(TableReader(), header + b"\nx\n")] == ["header"]


@pytest.mark.parametrize("name", READERS)
def test_read_only_fields_are_ignored(name: str) -> None:
    assert {"id", "weather", "user_id", "created_at", "version"} <= set(READ_ONLY)
    assert "completed" not in READ_ONLY

    (fields,) = fields_of(READERS[name](), file_of(name, TASK | {"id": "nonsense", "created_at": "never"}))

    assert fields.keys() == TaskInput.model_fields.keys() - {"completed"}


@pytest.mark.parametrize(
    ("reader", "line"),
    [
        (JsonLinesReader(), b"x" * (MAX_LINE_BYTES + 1)),
        (TableReader(), b'title\n"' + b"\n" * MAX_LINE_BYTES),
    ],
    ids=["jsonl", "csv"],
)
def test_a_too_long_line_is_refused(reader: LineReader, line: bytes) -> None:
    with pytest.raises(falcon.HTTPContentTooLarge):
        fields_of(reader, line, chunk=65536)


@pytest.mark.parametrize("character", [b",", b'"', b',"', b'"",', b"\n"])
def test_the_longest_allowed_line_is_at_most_one_record(character: bytes) -> None:
    reader = TableReader()

    lines = list(lines_of(reader, b"title\n" + character * (MAX_LINE_BYTES // len(character)), chunk=65536))

    assert len(lines) <= 1
