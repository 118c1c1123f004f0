"""Request bodies: too large, incomplete, malformed, or of an unsupported media type."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

import falcon.asgi
import orjson
import pytest
from falcon.testing import Result, TestClient, create_scope
from pydantic import RootModel

from api.http import bodies, errors
from api.http.bodies import CSV, FORM, JSON, MERGE_PATCH, RawBody, StreamedBody
from api.http.fields import FormInput, Input
from api.http.operation import operation

LIMIT = 100 * 1024


class Note(Input):
    text: str


class Draft(Input):
    text: str = "nothing"


class NoteForm(FormInput):
    text: str


class NoteTable(RootModel[str]):
    """Notes as a table."""


class Notes:
    @operation(200, Note, tag="notes", public=True)
    async def on_post(self, body: Note | NoteForm) -> dict[str, str]:
        """Write."""
        return body.model_dump()

    @operation(200, Note, tag="notes", public=True)
    async def on_put(self, body: Note) -> dict[str, str]:
        """Rewrite."""
        return body.model_dump()

    @operation(200, Draft, tag="notes", public=True, body_optional=True)
    async def on_patch(self, body: Draft) -> dict[str, str]:
        """Change."""
        return body.model_dump()


class Files:
    @operation(200, int, tag="notes", public=True)
    async def on_post(self, body: Annotated[StreamedBody, RawBody({CSV: NoteTable}, StreamedBody.of)]) -> int:
        """Send."""
        return sum([len(chunk) async for chunk in body.chunks(LIMIT)])


@pytest.fixture
def app() -> Any:
    app = falcon.asgi.App()
    bodies.install(app, LIMIT, LIMIT)
    errors.install(app)
    app.add_route("/notes", Notes())
    app.add_route("/files", Files())
    return app


@pytest.fixture
def send(app: Any) -> Callable[..., Result]:
    client = TestClient(app)

    def send(body: bytes, content_type: str | None = JSON, method: str = "POST", **headers: str) -> Result:
        if content_type is not None:
            headers["Content-Type"] = content_type
        return client.simulate_request(method, "/notes", body=body, headers=headers)

    return send


Send = Callable[..., Result]


def assert_refused(response: Result, status: int, code: str) -> None:
    assert (response.status_code, response.json["code"]) == (status, code), response.text
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("content_type", [JSON, "application/json; charset=utf-8", "Application/JSON", None])
def test_json_is_read(content_type: str | None, send: Send) -> None:
    assert send('{"text": "naïve ☔"}'.encode(), content_type).json == {"text": "naïve ☔"}


def test_a_form_is_read_only_if_the_operation_accepts_forms(send: Send) -> None:
    assert send(b"text=na%C3%AFve+rain", FORM).json == {"text": "naïve rain"}
    assert_refused(send(b"text=x", FORM, "PUT"), 415, "unsupported_media_type")


def test_a_merge_patch_is_accepted_for_patch_only(send: Send) -> None:
    assert send(b'{"text": "x"}', MERGE_PATCH, "PATCH").json == {"text": "x"}
    assert_refused(send(b'{"text": "x"}', MERGE_PATCH), 415, "unsupported_media_type")


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/xml", "multipart/form-data; boundary=x", "json", "/", ";", "application/*"],
)
def test_other_media_types_are_refused(content_type: str, send: Send) -> None:
    assert_refused(send(b'{"text": "x"}', content_type), 415, "unsupported_media_type")


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"text": NaN}',
        b'{"text": -Infinity}',
        b'{"text": "\\ud800"}',
        b'{"text": "\xff"}',
        b'{"text": "\x00"}',
        b"\xef\xbb\xbf{}",
        '{"text": "x"}'.encode("utf-16"),
        b"[" * 100_000,
        b'{"a":' * 20_000,
        b"[" * 50_000 + b"]" * 50_000,
        b" ",
    ],
)
def test_invalid_json_is_malformed(body: bytes, send: Send) -> None:
    assert_refused(send(body), 400, "malformed")


def test_the_deepest_allowed_nesting_is_refused_by_the_schema_only(send: Send) -> None:
    assert_refused(send(b'{"text":' + b"[" * 1000 + b"]" * 1000 + b"}"), 422, "invalid")


@pytest.mark.parametrize("body", [b"text=\xff", "text=ü".encode()])
def test_an_invalid_form_is_malformed(body: bytes, send: Send) -> None:
    assert_refused(send(body, FORM), 400, "malformed")


def test_nul_in_a_form_is_reported_with_its_field(send: Send) -> None:
    response = send(b"text=%00", FORM)

    assert_refused(response, 422, "invalid")
    assert [error["field"] for error in response.json["errors"]] == ["text"]


def test_a_missing_required_body_is_refused(send: Send) -> None:
    assert_refused(send(b""), 400, "body_missing")


def test_an_optional_body_may_be_missing(send: Send) -> None:
    assert send(b"", None, "PATCH").json == {"text": "nothing"}


def test_a_body_of_exactly_the_limit_is_accepted(send: Send) -> None:
    text = "x" * (LIMIT - len('{"text":""}'))

    assert send(orjson.dumps({"text": text})).status_code == 200
    assert_refused(send(orjson.dumps({"text": text + "x"})), 413, "body_too_large")


def test_a_form_has_a_lower_limit(send: Send) -> None:
    assert_refused(send(b"text=" + b"x" * 64 * 1024, FORM), 413, "body_too_large")


def test_a_file_of_exactly_the_limit_is_accepted_with_any_content(app: Any) -> None:
    def send(body: bytes, content_type: str) -> Result:
        return TestClient(app).simulate_post("/files", body=body, headers={"Content-Type": content_type})

    assert send(b"\xff" * LIMIT, "Text/CSV; charset=utf-8").json == LIMIT
    assert_refused(send(b"\xff" * (LIMIT + 1), CSV), 413, "body_too_large")
    assert_refused(send(b"{}", JSON), 415, "unsupported_media_type")


READERS = pytest.mark.parametrize(("path", "content_type"), [("/notes", JSON), ("/files", CSV)])


async def call(app: Any, path: str, content_type: str, chunks: AsyncIterator[bytes], **headers: str) -> int:
    """Send a body chunk by chunk, as a server does, and return the status of the response."""
    statuses: list[int] = []

    async def receive() -> dict[str, Any]:
        async for chunk in chunks:
            return {"type": "http.request", "body": chunk, "more_body": True}
        return {"type": "http.disconnect"}

    async def send(event: dict[str, Any]) -> None:
        if event["type"] == "http.response.start":
            statuses.append(event["status"])

    await app(create_scope(path, method="POST", headers={"Content-Type": content_type} | headers), receive, send)
    (status,) = statuses
    return status


@READERS
def test_a_body_without_a_length_is_counted_while_it_is_read(path: str, content_type: str, app: Any) -> None:
    read: list[int] = []

    async def endless() -> AsyncIterator[bytes]:
        while True:
            read.append(1024)
            yield b" " * 1024

    assert asyncio.run(call(app, path, content_type, endless())) == 413
    assert sum(read) <= LIMIT + 2 * 1024


@READERS
def test_a_too_large_content_length_is_refused_without_reading_the_body(path: str, content_type: str, app: Any) -> None:
    read: list[int] = []

    async def watched() -> AsyncIterator[bytes]:
        while True:
            read.append(1)
            yield b" "

    assert asyncio.run(call(app, path, content_type, watched(), **{"Content-Length": str(LIMIT + 1)})) == 413
    # The server passes the first chunk before the application reads.
    assert len(read) == 1


@READERS
def test_an_incomplete_body_is_refused(path: str, content_type: str, app: Any) -> None:
    async def cut_off() -> AsyncIterator[bytes]:
        yield b'{"text": "give 100"}'

    assert asyncio.run(call(app, path, content_type, cut_off(), **{"Content-Length": "40"})) == 400


@READERS
@pytest.mark.parametrize("length", ["-1", "x"])
def test_an_invalid_content_length_is_refused(length: str, path: str, content_type: str, app: Any) -> None:
    async def whole() -> AsyncIterator[bytes]:
        yield b'{"text": "x"}'

    assert asyncio.run(call(app, path, content_type, whole(), **{"Content-Length": length})) == 400
