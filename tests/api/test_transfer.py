"""Export and import of tasks over HTTP: every exported file can be imported again, whatever text it contains."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import requests
from structlog.testing import capture_logs

from api.tasks.lines import MAX_LINE_BYTES
from core import messages
from core.config import Settings
from core.policy import Actor
from core.services.transfer import PAGE_LENGTH
from tests.api.callers import Caller, assert_problem
from tests.sql import execute

EXPORT = "/api/v1/tasks/export"
IMPORT = "/api/v1/tasks/import"
MEDIA_TYPES = {"jsonl": "application/x-ndjson", "csv": "text/csv"}
WRITTEN = ("title", "description", "status", "priority", "due_at", "city", "assignee_id")
ODD_TEXTS = [
    "=1+1",
    "\uff1d1+1",
    "'=1",
    'a "quoted", word',
    "two\nlines\r\nand a third",
    "ünï ☀ 漢字 🐍",
    "\\n 'single'",
    "@home -1",
]


def send(caller: Caller, body: Any, media_type: str = "application/x-ndjson", **headers: str) -> requests.Response:
    return caller.post(IMPORT, data=body, headers={"Content-Type": media_type} | headers)


def imported(caller: Caller, body: Any, media_type: str = "application/x-ndjson") -> dict[str, Any]:
    response = send(caller, body, media_type)
    assert response.status_code == 200, response.text
    report: dict[str, Any] = response.json()
    return report


def exported(caller: Caller) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in caller.get(EXPORT).text.splitlines()]


class TestExport:
    def test_json_lines_contain_own_tasks_oldest_first(
        self, as_alice: Caller, as_bob: Caller, as_ada: Caller, bob: Actor
    ) -> None:
        first = as_alice.post("/api/v1/tasks", json={"title": "first", "city": "London"}).json()
        second = as_alice.post("/api/v1/tasks", json={"title": "second", "assignee_id": bob.user_id}).json()
        mine = as_bob.post("/api/v1/tasks", json={"title": "of bob"}).json()

        response = as_alice.get(EXPORT)

        assert response.headers["Content-Type"] == "application/x-ndjson"
        assert response.headers["Content-Disposition"] == 'attachment; filename="allweather-tasks.jsonl"'
        assert exported(as_alice) == [first, second]
        assert exported(as_bob) == [mine]
        assert exported(as_ada) == []

    def test_a_csv_export_has_the_documented_columns(self, as_alice: Caller) -> None:
        task = as_alice.post("/api/v1/tasks", json={"title": "=1+1", "description": 'a\n"b",c'}).json()

        response = as_alice.get(f"{EXPORT}?format=csv")
        header, row = csv.reader(io.StringIO(response.text, newline=""))

        assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert response.headers["Content-Disposition"] == 'attachment; filename="allweather-tasks.csv"'
        documented = (
            "id title description status priority due_at due_on duration_minutes city assignee_id group_id completed_at"
        )
        assert header == [*documented.split(), "created_at", "updated_at", "latitude", "longitude"]
        assert row == [
            str(task["id"]), "'=1+1", 'a\n"b",c', "todo", "medium", "", "", "", "", "", "", "", task["created_at"],
            task["updated_at"], "", "",
        ]  # fmt: skip

    @pytest.mark.parametrize(("name", "media_type"), MEDIA_TYPES.items())
    def test_an_imported_task_has_its_weather_where_the_exported_one_has_it(
        self, name: str, media_type: str, as_alice: Caller, as_bob: Caller
    ) -> None:
        for place in ({"city": "Oslo"}, {"latitude": -33.45, "longitude": -70.65}, {}):
            assert as_alice.post("/api/v1/tasks", json={"title": "x"} | place).status_code == 201

        exported = as_alice.get(f"{EXPORT}?format={name}")
        assert send(as_bob, exported.content, media_type).json() == {"created": 3, "failed": 0, "errors": []}

        def places(caller: Caller) -> list[Any]:
            items = caller.get("/api/v1/tasks?sort=created_at").json()["items"]
            return sorted((str(task["city"]), str(task["place_id"]), str(task["weather_status"])) for task in items)

        assert places(as_bob) == places(as_alice)

    @pytest.mark.parametrize("name", MEDIA_TYPES)
    def test_an_export_of_several_pages_contains_each_task_once(
        self, name: str, as_alice: Caller, alice: Actor
    ) -> None:
        execute(
            # Only a few different creation times, so that pages begin and end between tasks with equal times.
            "INSERT INTO tasks (title, user_id, created_at)"
            " SELECT n::text, %(owner)s, '2026-01-01Z'::timestamptz + (n / 700) * interval '1 day'"
            " FROM generate_series(0, %(last)s) n",
            {"owner": alice.user_id, "last": 2 * PAGE_LENGTH - 1},
        )

        lines = as_alice.get(f"{EXPORT}?format={name}").text.splitlines()

        titles = [row["title"] for row in csv.DictReader(lines)] if name == "csv" else [
            task["title"] for task in exported(as_alice)
        ]  # fmt: skip
        assert titles == [str(number) for number in range(2 * PAGE_LENGTH)]

    def test_head_returns_the_same_headers_without_the_tasks(self, as_alice: Caller) -> None:
        response = as_alice("HEAD", f"{EXPORT}?format=csv")

        assert (response.status_code, response.content) == (200, b"")
        assert response.headers["Content-Type"] == "text/csv; charset=utf-8"

    def test_unknown_formats_are_refused(self, as_alice: Caller, anybody: Caller) -> None:
        assert_problem(as_alice.get(f"{EXPORT}?format=xml"), 422, "invalid")
        assert_problem(anybody.get(EXPORT), 401, "token_missing")


@pytest.mark.parametrize("name", MEDIA_TYPES)
def test_an_exported_file_can_be_imported(name: str, as_alice: Caller, as_bob: Caller, bob: Actor) -> None:
    plain = {"description": None, "status": "todo", "priority": "medium", "due_at": None, "city": None}
    rich = {
        "description": "=cmd|' /C calc'!A0", "status": "done", "priority": "urgent", "city": "São Paulo",
        "due_at": "2026-05-01T09:00:00.123456+00:00", "assignee_id": bob.user_id,
    }  # fmt: skip
    for text in ODD_TEXTS:
        as_alice.post("/api/v1/tasks", json=plain | {"title": text, "description": text})
    as_alice.post("/api/v1/tasks", json=rich | {"title": "x" * 255})

    file = as_alice.get(f"{EXPORT}?format={name}").content
    report = imported(as_bob, file, MEDIA_TYPES[name])

    assert report == {"created": len(ODD_TEXTS) + 1, "failed": 0, "errors": []}
    before, after = exported(as_alice), exported(as_bob)
    assert [[task[field] for field in WRITTEN] for task in after] == [
        [task[field] for field in WRITTEN] for task in before
    ]
    assert {task["user_id"] for task in after} == {bob.user_id}
    assert not {task["id"] for task in after} & {task["id"] for task in before}


class TestImport:
    @pytest.mark.parametrize(
        "media_type", ["application/x-ndjson", "application/jsonl", "Application/JSONL; charset=utf-8"]
    )
    def test_invalid_lines_are_reported_and_valid_lines_become_tasks(
        self, media_type: str, as_alice: Caller, alice: Actor
    ) -> None:
        lines = [
            b'\xef\xbb\xbf{"title": "first", "city": "London", "id": 1, "user_id": 99, "version": 7}',
            b"",
            b'{"title": ""}',
            b'{"title": "unknown assignee", "assignee_id": 4611686018427387904}',
            b"nonsense \xff",
            b'{"title": "last"}',
        ]

        report = imported(as_alice, b"\r\n".join(lines), media_type)

        assert report == {
            "created": 2,
            "failed": 3,
            "errors": [
                {"line": 3, "errors": [{"field": "title", "message": "must have a length of at least 1"}]},
                {
                    "line": 4,
                    "errors": [{"field": "assignee_id", "message": "There is no active account with this id."}],
                },
                {"line": 5, "errors": [{"field": "", "message": "is no JSON"}]},
            ],
        }
        first, last = exported(as_alice)
        assert (first["title"], first["weather_status"], first["user_id"]) == ("first", "pending", alice.user_id)
        assert (last["title"], last["version"]) == ("last", 1)

    def test_a_csv_file_may_have_any_columns_in_any_order(self, as_alice: Caller) -> None:
        table = 'status,updated_at,title\r\ndone,never,"two\nlines"\r\n\r\n,,\r\ntodo,,"open\r\n'

        report = imported(as_alice, table.encode(), "text/csv; charset=utf-8")

        assert (report["created"], report["failed"]) == (1, 2)
        assert [(error["line"], error["errors"][0]["field"]) for error in report["errors"]] == [(5, "title"), (6, "")]
        (task,) = exported(as_alice)
        assert (task["title"], task["status"]) == ("two\nlines", "done")
        assert task["completed_at"] is not None

    @pytest.mark.parametrize("header", [b"title,nonsense", b"title,title", b"\xff\xfet"])
    def test_an_invalid_csv_header_is_refused(self, header: bytes, as_alice: Caller) -> None:
        problem = assert_problem(send(as_alice, header + b"\nx,y\n", "text/csv"), 422, "invalid")

        assert [error["field"] for error in problem["errors"]] == ["header"]

    @pytest.mark.parametrize("media_type", MEDIA_TYPES.values())
    @pytest.mark.parametrize("body", [b"", b"\xef\xbb\xbf", b"\r\n \n\n"])
    def test_an_empty_file_creates_no_tasks(self, body: bytes, media_type: str, as_alice: Caller) -> None:
        assert imported(as_alice, body, media_type) == {"created": 0, "failed": 0, "errors": []}

    @pytest.mark.parametrize("media_type", MEDIA_TYPES.values())
    def test_invalid_bytes_are_reported_as_failed_lines(self, media_type: str, as_alice: Caller) -> None:
        head = b"title,weather\n" if media_type == "text/csv" else b""
        lines = [
            b'{"title": "\x00"}', b'{"title": "\\u0000"}', b'{"title": "\\ud800"}', b'{"title": NaN}',
            b'{"title": 1e999}',
            b"[" * 10_000, b'{"title":' * 300, b"\xff\xfe\x00", b"\x00", b'"', b'""\x00",', bytes(range(256)),
            b'"\xed\xa0\x80"',
        ]  # fmt: skip

        report = imported(as_alice, head + b"\n".join(lines), media_type)

        assert report["created"] == 0
        assert 0 < report["failed"] <= len(lines) + 1
        assert exported(as_alice) == []

    def test_the_first_hundred_errors_are_reported_and_all_are_counted(self, as_alice: Caller) -> None:
        report = imported(as_alice, b"{}\n" * 250 + b'{"title": "x"}\n' * 5)

        assert (report["created"], report["failed"]) == (5, 250)
        assert [error["line"] for error in report["errors"]] == list(range(1, 101))

    def test_imported_tasks_are_listed_counted_and_recorded_as_events(self, as_alice: Caller) -> None:
        imported(as_alice, b'{"title": "x", "city": "London"}\n' * 101)

        assert as_alice.get("/api/v1/tasks?limit=1").json()["total"] == 101
        assert as_alice.get("/api/v1/analytics").json()["by_status"]["todo"] == 101
        (events,) = execute("SELECT count(*) FROM events WHERE type = 'task.created'").fetchone()
        assert events == 101

    def test_a_too_large_body_with_content_length_creates_nothing(self, as_alice: Caller, settings: Settings) -> None:
        line = b'{"title": "x"}\n'

        response = send(as_alice, line * (settings.import_max_bytes // len(line) + 1))

        assert_problem(response, 413, "body_too_large")
        assert exported(as_alice) == []

    def test_a_too_large_body_without_content_length_is_refused(self, as_alice: Caller, settings: Settings) -> None:
        blank = b" " * 65535 + b"\n"

        response = send(as_alice, (blank for _ in range(settings.import_max_bytes // len(blank) + 1)))

        assert_problem(response, 413, "body_too_large")

    def test_a_too_long_line_is_refused(self, as_alice: Caller) -> None:
        response = send(as_alice, b'{"title": "' + b"x" * 1024 * 1024)

        assert_problem(response, 413, "body_too_large")

    @pytest.mark.parametrize("media_type", ["application/json", "text/plain", ""])
    def test_other_media_types_are_refused(self, media_type: str, as_alice: Caller, anybody: Caller) -> None:
        assert_problem(send(as_alice, b'{"title": "x"}', media_type), 415, "unsupported_media_type")
        assert_problem(send(anybody, b'{"title": "x"}', media_type), 401, "token_missing")

    def test_errors_are_in_the_language_of_the_request(self, as_alice: Caller, german: None) -> None:
        response = send(as_alice, b"nonsense", **{"Accept-Language": "de"})

        assert response.json()["errors"][0]["errors"] == [{"field": "", "message": "ist kein JSON"}]
        assert response.headers["Content-Language"] == "de"


@pytest.fixture
def german(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A German catalogue with one message in it."""
    catalogue = tmp_path / "de" / "LC_MESSAGES" / "messages.po"
    catalogue.parent.mkdir(parents=True)
    catalogue.write_text('msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n\n'
                         'msgid "is no JSON"\nmsgstr "ist kein JSON"\n', encoding="utf-8")  # fmt: skip
    monkeypatch.setattr(messages, "DIRECTORY", tmp_path)
    messages._catalogue.cache_clear()  # noqa: SLF001 - the cache may contain the real catalogue.
    yield
    messages._catalogue.cache_clear()  # noqa: SLF001 - the cache now contains this catalogue.


def test_the_routes_exist_only_under_api_v1_and_hide_no_other_route(as_alice: Caller) -> None:
    task = as_alice.post("/api/v1/tasks", json={"title": "x"}).json()

    assert as_alice.get(f"/api/v1/tasks/{task['id']}").json() == task
    assert_problem(as_alice.get("/api/v1/tasks/exports"), 404, "route_not_found")
    assert_problem(as_alice.get("/tasks/export"), 404, "route_not_found")
    assert_problem(as_alice.get(IMPORT), 405, "method_not_allowed")
    assert_problem(as_alice.post(EXPORT), 405, "method_not_allowed")


def test_export_needs_the_read_scope_and_import_the_write_scope(as_alice: Caller, anybody: Caller) -> None:
    for scope, allowed, refused in (("tasks:read", EXPORT, IMPORT), ("tasks:write", IMPORT, EXPORT)):
        made = as_alice.post("/api/v1/auth/tokens", json={"name": scope, "scopes": [scope]}).json()
        headers = {"Authorization": f"Bearer {made['token']}", "Content-Type": "text/csv"}
        method = {EXPORT: "GET", IMPORT: "POST"}

        assert anybody(method[allowed], allowed, headers=headers).status_code == 200
        assert_problem(anybody(method[refused], refused, headers=headers), 403, "scope_missing")


def test_a_repeated_import_creates_each_task_once(as_alice: Caller) -> None:
    lines = b"".join(b'{"title": "task %d"}\n' % number for number in range(150)) + b'{"title": ""}\n'
    headers = {"Content-Type": "application/x-ndjson", "Idempotency-Key": "the file of May"}

    assert_problem(as_alice.post(IMPORT, data=lines, headers=headers), 422, "invalid")
    headers["Idempotency-Key"] = "the-file-of-May"
    first = as_alice.post(IMPORT, data=lines, headers=headers)
    again = as_alice.post(IMPORT, data=lines, headers=headers)

    assert first.json() == again.json()
    assert (first.json()["created"], first.json()["failed"]) == (150, 1)
    assert as_alice.get("/api/v1/tasks").json()["total"] == 150


def test_a_file_with_too_many_lines_is_refused(as_alice: Caller) -> None:
    lines = b"{}\n" * 10_001

    response = as_alice.post(IMPORT, data=lines, headers={"Content-Type": "application/x-ndjson"})

    assert_problem(response, 413, "body_too_large")


class TestLog:
    def test_an_import_is_one_line_of_the_log(self, as_alice: Caller, alice: Actor, bob: Actor) -> None:
        lines = [orjson.dumps({"title": str(number), "assignee_id": bob.user_id}) for number in range(250)]

        with capture_logs() as logged:
            imported(as_alice, b"\n".join([*lines, b"{}"]))
            as_alice.post("/api/v1/tasks", json={"title": "by itself"})

        assert [line["event"] for line in logged] == ["tasks_imported", "request", "change", "request"]
        counts = {"actor_id": alice.user_id, "created": 250, "failed": 1}
        assert counts.items() <= logged[0].items()

    def test_an_import_that_breaks_off_is_logged_with_what_it_created(self, as_alice: Caller) -> None:
        body = b"\n".join([b'{"title": "x"}'] * 150 + [b"x" * (MAX_LINE_BYTES + 1)])

        with capture_logs() as logged:
            assert send(as_alice, body).status_code == 413

        (line,) = (line for line in logged if line["event"] == "tasks_imported")
        assert (line["created"], line["failed"]) == (100, 0)
