"""Attachments over HTTP: uploads, downloads, safe names and types, limits and permissions."""

import hashlib
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import repeat
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from core.config import Settings
from core.policy import Actor
from core.storage import CHUNK_BYTES
from tests.api.callers import Caller, LiveServer, assert_problem
from tests.builders import create_task
from tests.polling import wait_until
from tests.s3 import s3_settings
from tests.sql import execute

MIB = 1024 * 1024
FIELDS = "id task_id user_id filename content_type size sha256 created_at".split()
SEVERAL_CHUNKS = b"0123456789abcdef" * (CHUNK_BYTES // 8)
BOUNDARY = "a-boundary-of-the-test"
MULTIPART = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


@pytest.fixture
def task(alice: Actor, bob: Actor) -> int:
    """A task that Alice owns and that is assigned to Bob."""
    return create_task(alice, assignee_id=bob.user_id)


@pytest.fixture
def path(task: int) -> str:
    return f"/api/v1/tasks/{task}/attachments"


def upload(caller: Caller, path: str, content: bytes = b"x", name: str = "x.txt", kind: str = "text/html") -> Any:
    return caller.post(path, files={"file": (name, content, kind)})


def added(caller: Caller, path: str, content: bytes = b"x", name: str = "x.txt") -> dict[str, Any]:
    response = upload(caller, path, content, name)
    assert response.status_code == 201, response.text
    found: dict[str, Any] = response.json()
    return found


def part(disposition: str, content: bytes = b"x") -> bytes:
    return b"\r\n".join(
        [f"--{BOUNDARY}".encode(), b"Content-Disposition: form-data; " + disposition.encode(), b"", content, b""]
    )


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


@pytest.mark.parametrize("prefix", ["", "/api/v1"])
def test_an_uploaded_file_can_be_downloaded(prefix: str, as_alice: Caller, alice: Actor, task: int) -> None:
    path = f"{prefix}/tasks/{task}/attachments"

    response = upload(as_alice, path, SEVERAL_CHUNKS, "notes.txt")
    attachment = response.json()
    content = as_alice.get(f"{response.headers['Location']}/content")

    assert response.status_code == 201
    assert list(attachment) == FIELDS
    assert (attachment["task_id"], attachment["user_id"]) == (task, alice.user_id)
    assert (attachment["filename"], attachment["size"]) == ("notes.txt", len(SEVERAL_CHUNKS))
    assert attachment["sha256"] == hashlib.sha256(SEVERAL_CHUNKS).hexdigest()
    assert response.headers["Location"] == f"{path}/{attachment['id']}"
    assert as_alice.get(response.headers["Location"]).json() == attachment
    assert as_alice.get(path).json() == {"items": [attachment], "total": 1, "skip": 0, "limit": 100}
    assert content.content == SEVERAL_CHUNKS
    assert content.headers["Content-Length"] == str(len(SEVERAL_CHUNKS))
    assert content.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert content.headers["X-Content-Type-Options"] == "nosniff"
    assert content.headers["Content-Disposition"].startswith("attachment;")


def test_an_empty_file_can_be_attached(as_alice: Caller, path: str) -> None:
    attachment = added(as_alice, path, b"")

    assert attachment["size"] == 0
    assert as_alice.get(f"{path}/{attachment['id']}/content").content == b""


@pytest.mark.parametrize(
    ("disposition", "kept", "plain"),
    [
        ('filename="Grüße ☔.txt"', "Grüße ☔.txt", "Gr__e _.txt"),
        ("filename*=UTF-8''say%20%22hi%22.txt", 'say "hi".txt', "say _hi_.txt"),
        ('filename="../../etc/passwd"', "passwd", "passwd"),
        ("filename*=UTF-8''two%0D%0ASet-Cookie%3A%20x%3Dy", "twoSet-Cookie: x=y", "twoSet-Cookie: x=y"),
        ('filename="back\\\\slash.txt"', "slash.txt", "slash.txt"),
        (f'filename="{"n" * 300}"', "n" * 255, "n" * 255),
    ],
)
def test_unusual_file_names_are_returned_safely(
    disposition: str, kept: str, plain: str, as_alice: Caller, path: str
) -> None:
    response = as_alice.post(path, data=form(part(f'name="file"; {disposition}')), headers=MULTIPART)
    attachment = response.json()
    header = as_alice.get(f"{path}/{attachment['id']}/content").headers["Content-Disposition"]

    assert attachment["filename"] == kept
    first, second, exact = header.split("; ")
    assert (first, second) == ("attachment", f'filename="{plain}"')
    assert unquote(exact.removeprefix("filename*=UTF-8''")) == kept
    assert exact.isascii()


def test_html_uploaded_as_an_image_is_served_as_plain_text(as_alice: Caller, path: str) -> None:
    page = b"<!DOCTYPE html><html><script>alert(document.domain)</script></html>"
    attachment = upload(as_alice, path, page, "photo.png", "image/png").json()

    content = as_alice.get(f"{path}/{attachment['id']}/content")
    assert content.headers["Content-Type"] == attachment["content_type"] == "text/plain; charset=utf-8"
    assert content.headers["Content-Security-Policy"].startswith("default-src 'none'")


class TestForms:
    @pytest.mark.parametrize(
        "body",
        [
            form(),
            form(part('name="file"')),
            form(part('name="file"; filename=""')),
            form(part('name="file"; filename=".."')),
            form(part('name="other"; filename="x"')),
            form(part('name="file"; filename="x"'), part('name="file"; filename="y"')),
            form(part('name="note"', b"x"), part('name="file"; filename="x"')),
        ],
        ids=["empty", "no name", "empty name", "no name left", "another field", "two files", "more fields"],
    )
    def test_a_form_must_have_exactly_one_named_file(self, body: bytes, as_alice: Caller, path: str) -> None:
        problem = assert_problem(as_alice.post(path, data=body, headers=MULTIPART), 422, "invalid")

        assert [error["field"] for error in problem["errors"]] == ["file"]
        assert as_alice.get(path).json()["total"] == 0

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"no form at all",
            part('name="file"; filename="x"'),
            part('name="file"; filename="x"')[:20],
            form(part('name="file"; filename="x"')).replace(b"name=", b"name\xff="),
        ],
        ids=["nothing", "no form", "no end", "no headers", "no text"],
    )
    def test_an_incomplete_form_is_malformed(self, body: bytes, as_alice: Caller, path: str) -> None:
        assert_problem(as_alice.post(path, data=body, headers=MULTIPART), 400, "malformed")

    def test_other_media_types_are_refused(self, as_alice: Caller, path: str) -> None:
        assert_problem(as_alice.post(path, json={"file": "x"}), 415, "unsupported_media_type")
        assert_problem(
            as_alice.post(path, data=b"x", headers={"Content-Type": "multipart/form-data"}), 400, "bad_request"
        )

    def test_other_routes_refuse_multipart_forms(self, as_alice: Caller) -> None:
        assert_problem(as_alice.post("/tasks", files={"title": b"x"}), 415, "unsupported_media_type")


class TestSize:
    def test_the_size_limit_is_ten_mebibytes(self, as_alice: Caller, path: str) -> None:
        assert added(as_alice, path, bytes(10 * MIB))["size"] == 10 * MIB
        assert_problem(upload(as_alice, path, bytes(10 * MIB + 1)), 413, "body_too_large")
        assert as_alice.get(path).json()["total"] == 1

    @pytest.mark.parametrize("opening", [part('name="file"; filename="x"')[:-2], b""], ids=["file", "preamble"])
    def test_a_body_without_content_length_is_counted_while_it_is_read(
        self, opening: bytes, as_alice: Caller, path: str
    ) -> None:
        def chunked() -> Iterator[bytes]:
            yield from (opening,) if opening else ()
            yield from repeat(bytes(MIB), 12)

        assert_problem(as_alice.post(path, data=chunked(), headers=MULTIPART), 413, "body_too_large")

    def test_json_bodies_keep_their_own_limit(self, as_alice: Caller) -> None:
        assert_problem(as_alice.post("/tasks", json={"title": "x" * 2 * MIB}), 413, "body_too_large")


def open_under(directory: Path) -> list[str]:
    """Return the open files of this process, which runs the server, in a directory; also files without a name."""
    targets = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            targets.append(str(descriptor.readlink()))
    return [target for target in targets if target.startswith(str(directory))]


def test_an_aborted_upload_leaves_no_file_and_no_row(
    live_server: LiveServer, as_alice: Caller, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {as_alice.token}\r\n"
        f"Content-Type: {MULTIPART['Content-Type']}\r\nContent-Length: {2 * MIB}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", live_server.port)) as connection:
        connection.sendall(head.encode() + part('name="file"; filename="x"', bytes(MIB)))
        wait_until(lambda: open_under(tmp_path))

    wait_until(lambda: not open_under(tmp_path))
    assert list(tmp_path.iterdir()) == []
    assert execute("SELECT count(*) FROM stored_files").fetchone() == (0,)
    assert as_alice.get(path).json()["total"] == 0


class TestQuota:
    @pytest.fixture
    def caller(self, client_with_settings: Any, settings: Settings, alice: Actor) -> Caller:
        made: Caller = client_with_settings(settings.model_copy(update={"attachment_quota_bytes": 100}))(alice)
        return made

    def test_uploads_over_the_quota_are_refused_until_space_is_freed(self, caller: Caller, path: str) -> None:
        attachment = added(caller, path, b"x" * 60)

        assert_problem(upload(caller, path, b"x" * 41), 413, "quota_exceeded")
        assert execute("SELECT count(*) FROM stored_files").fetchone() == (1,)
        assert caller.delete(f"{path}/{attachment['id']}").status_code == 204
        added(caller, path, b"x" * 41)

    def test_parallel_uploads_do_not_exceed_the_quota(self, caller: Caller, path: str) -> None:
        with ThreadPoolExecutor(4) as threads:
            statuses = list(threads.map(lambda _: upload(caller, path, b"x" * 60).status_code, range(4)))

        assert sorted(statuses) == [201, 413, 413, 413]


class TestParts:
    @pytest.fixture
    def content(self, as_alice: Caller, path: str) -> str:
        return f"{path}/{added(as_alice, path, b'0123456789')['id']}/content"

    @pytest.mark.parametrize(
        ("range_header", "expected_content", "expected_range"),
        [
            ("bytes=0-3", b"0123", "bytes 0-3/10"),
            ("bytes=4-", b"456789", "bytes 4-9/10"),
            ("bytes=-3", b"789", "bytes 7-9/10"),
            ("bytes=-30", b"0123456789", "bytes 0-9/10"),
            ("bytes=8-99", b"89", "bytes 8-9/10"),
        ],
    )
    def test_a_byte_range_is_returned(
        self, range_header: str, expected_content: bytes, expected_range: str, as_alice: Caller, content: str
    ) -> None:
        response = as_alice.get(content, headers={"Range": range_header})

        assert (response.status_code, response.content) == (206, expected_content)
        assert response.headers["Content-Range"] == expected_range
        assert response.headers["Content-Length"] == str(len(expected_content))

    @pytest.mark.parametrize("range_header", ["bytes=10-", "bytes=99-100", "bytes=-0"])
    def test_a_range_beyond_the_end_is_refused(self, range_header: str, as_alice: Caller, content: str) -> None:
        response = as_alice.get(content, headers={"Range": range_header})

        assert_problem(response, 416, "range_not_satisfiable")
        assert response.headers["Content-Range"] == "bytes */10"

    @pytest.mark.parametrize(
        "range_header", ["bytes=0-1,4-5", "lines=1-2", "bytes=5-2", "bytes=-", "bytes=x-", "bytes=\u0661-"]
    )
    def test_an_invalid_or_multiple_range_returns_the_whole_file(
        self, range_header: str, as_alice: Caller, content: str
    ) -> None:
        response = as_alice.get(content, headers={"Range": range_header.encode()})

        assert (response.status_code, response.content) == (200, b"0123456789")
        assert response.headers["Accept-Ranges"] == "bytes"

    def test_if_range_with_another_etag_returns_the_whole_file(self, as_alice: Caller, content: str) -> None:
        etag = as_alice.get(content).headers["ETag"]

        for version, status in ((etag, 206), ('"another"', 200)):
            assert as_alice.get(content, headers={"Range": "bytes=0-1", "If-Range": version}).status_code == status

    def test_if_none_match_with_the_current_etag_returns_304(self, as_alice: Caller, content: str) -> None:
        etag = as_alice.get(content).headers["ETag"]

        for known in (etag, f"W/{etag}", f'"another", {etag}', "*"):
            response = as_alice.get(content, headers={"If-None-Match": known})
            assert (response.status_code, response.content, response.headers["ETag"]) == (304, b"", etag)
        assert as_alice.get(content, headers={"If-None-Match": '"another"'}).status_code == 200

    def test_head_returns_the_size(self, as_alice: Caller, content: str) -> None:
        response = as_alice("HEAD", content)

        assert (response.status_code, response.content) == (200, b"")
        assert response.headers["Content-Length"] == "10"


def test_owner_assignee_and_admin_see_attachments_and_strangers_do_not(
    as_alice: Caller, as_bob: Caller, as_mallory: Caller, as_ada: Caller, anybody: Caller, path: str
) -> None:
    attachment = f"{path}/{added(as_bob, path)['id']}"

    for caller in (as_alice, as_bob, as_ada):
        for address in (path, attachment, f"{attachment}/content"):
            assert caller.get(address).status_code == 200
        assert upload(caller, path).status_code == 201
    for address in (path, attachment, f"{attachment}/content"):
        assert_problem(as_mallory.get(address), 403, "task_forbidden")
        assert_problem(anybody.get(address), 401, "token_missing")
    assert_problem(upload(as_mallory, path), 403, "task_forbidden")
    assert_problem(as_mallory.delete(attachment), 403, "task_forbidden")
    assert_problem(upload(anybody, path), 401, "token_missing")


def test_an_assignee_deletes_only_their_own_attachments(
    as_alice: Caller, as_bob: Caller, as_ada: Caller, path: str
) -> None:
    of_alice, of_bob = (f"{path}/{added(caller, path)['id']}" for caller in (as_alice, as_bob))

    assert_problem(as_bob.delete(of_alice), 403, "attachment_forbidden")
    assert as_bob.delete(of_bob).status_code == 204
    assert as_ada.delete(of_alice).status_code == 204
    assert_problem(as_alice.get(of_alice), 404, "attachment_not_found")
    assert_problem(as_alice.get(f"{of_bob}/content"), 404, "attachment_not_found")


def test_the_read_and_write_scopes_allow_only_their_own_requests(
    as_alice: Caller, live_server: LiveServer, path: str
) -> None:
    def program(scope: str) -> Caller:
        made = as_alice.post("/api/v1/auth/tokens", json={"name": "a program", "scopes": [scope]})
        return Caller(live_server.url, made.json()["token"])

    reader, writer = program("tasks:read"), program("tasks:write")
    attachment = f"{path}/{added(writer, path)['id']}"

    assert_problem(upload(reader, path), 403, "scope_missing")
    assert_problem(reader.delete(attachment), 403, "scope_missing")
    for address in (path, attachment, f"{attachment}/content"):
        assert reader.get(address).status_code == 200
        assert_problem(writer.get(address), 403, "scope_missing")


def test_the_list_is_paged(as_alice: Caller, path: str) -> None:
    ids = [added(as_alice, path)["id"] for _ in range(3)]

    page = as_alice.get(f"{path}?skip=1&limit=1")

    assert [item["id"] for item in page.json()["items"]] == ids[1:2]
    assert page.headers["X-Total-Count"] == "3"


def test_deleting_a_task_deletes_its_attachments(as_alice: Caller, path: str, task: int) -> None:
    attachment = f"{path}/{added(as_alice, path)['id']}"
    as_alice.delete(f"/api/v1/tasks/{task}")

    for address in (path, attachment, f"{attachment}/content"):
        assert_problem(as_alice.get(address), 404, "task_not_found")
    assert_problem(upload(as_alice, path), 404, "task_not_found")


def test_a_file_is_stored_in_and_read_from_s3(
    client_with_settings: Any, settings: Settings, s3_url: str, alice: Actor, path: str
) -> None:
    caller = client_with_settings(s3_settings(settings, s3_url))(alice)
    content = f"{path}/{added(caller, path, SEVERAL_CHUNKS)['id']}/content"

    assert caller.get(content).content == SEVERAL_CHUNKS
    assert caller.get(content, headers={"Range": "bytes=1-3"}).content == SEVERAL_CHUNKS[1:4]


def test_an_unavailable_storage_gets_503_and_attaches_nothing(
    client_with_settings: Any, settings: Settings, unused_tcp_port: int, as_alice: Caller, alice: Actor, path: str
) -> None:
    caller = client_with_settings(s3_settings(settings, f"http://127.0.0.1:{unused_tcp_port}"))(alice)
    content = f"{path}/{added(as_alice, path)['id']}/content"

    assert_problem(upload(caller, path), 503, "storage_unavailable")
    refused = caller.get(content)
    assert_problem(refused, 503, "storage_unavailable")
    assert "Content-Disposition" not in refused.headers
    assert caller.get(path).json()["total"] == 1


def test_a_repeated_upload_attaches_one_file(as_alice: Caller, path: str) -> None:
    def post(content: bytes) -> Any:
        return as_alice.post(path, files={"file": ("x.txt", content)}, headers={"Idempotency-Key": "the-file"})

    first, again = post(b"x"), post(b"x")

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert as_alice.get(path).json()["total"] == 1
    assert_problem(post(b"y"), 422, "idempotency_key_reused")
