"""Uploads over HTTP never occupy more of the disk than the quota, and only so many are under way at a time."""

import socket
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from api.http import uploads
from api.http.http_protocol import HttpProtocol
from core.config import Settings
from core.errors import NotFound, Unavailable
from core.messages import msg
from core.policy import Actor
from core.services import attachments
from core.storage import LocalStorage, Storage, storage_for
from tests.api.callers import Caller, assert_problem, create_task_at
from tests.builders import create_task
from tests.polling import wait_until
from tests.s3 import s3_settings
from tests.sql import execute

QUOTA = 100
TIMES = 30
MIB = 1024 * 1024
BOUNDARY = "a-boundary-of-the-test"
MEDIA_TYPE = f"multipart/form-data; boundary={BOUNDARY}"
FORM_START = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="x.txt"\r\n\r\n'.encode()
FORM_END = f"\r\n--{BOUNDARY}--\r\n".encode()
# More than a form may add to its file, so the file surely exceeds the quota.
LONG_BODY = 64 * 1024 + QUOTA + 1

Clients = Callable[[Actor], Caller]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "attachments"


@pytest.fixture
def small(settings: Settings, directory: Path) -> Settings:
    """Settings with a small quota and a directory of their own."""
    return settings.model_copy(update={"attachment_quota_bytes": QUOTA, "attachment_dir": str(directory)})


@pytest.fixture
def client_of(client_with_settings: Any, small: Settings) -> Clients:
    made: Clients = client_with_settings(small)
    return made


@pytest.fixture
def caller(client_of: Clients, alice: Actor) -> Caller:
    return client_of(alice)


@pytest.fixture
def path(alice: Actor, bob: Actor) -> str:
    """The attachments of a task that Alice owns and that is assigned to Bob."""
    return f"/api/v1/tasks/{create_task(alice, assignee_id=bob.user_id)}/attachments"


def upload(caller: Caller, path: str, size: int = 1, key: str | None = None) -> Any:
    headers = {} if key is None else {"Idempotency-Key": key}
    return caller.post(path, files={"file": ("x.txt", b"x" * size)}, headers=headers)


def stored_bytes(directory: Path) -> int:
    return sum(file.stat().st_size for file in directory.iterdir())


def stored_files(directory: Path) -> int:
    return len(list(directory.iterdir()))


def rows() -> int:
    count: int = execute("SELECT count(*) FROM stored_files").fetchone()[0]
    return count


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@contextmanager
def begun(caller: Caller, path: str, length: int, *, expect: bool = False) -> Iterator[socket.socket]:
    """Send the head of an upload whose body has this length, and none of its body."""
    host, port = caller.address
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {caller.token}\r\n"
        f"Content-Type: {MEDIA_TYPE}\r\nContent-Length: {length}\r\n"
        f"{'Expect: 100-continue' if expect else 'Accept: */*'}\r\n\r\n"
    )
    with socket.create_connection((host, port), timeout=20) as connection:
        connection.sendall(head.encode())
        yield connection


class TestStoredBytes:
    def test_thirty_uploads_under_one_key_leave_one_file(self, caller: Caller, path: str, directory: Path) -> None:
        responses = [upload(caller, path, 60, "the-file") for _ in range(TIMES)]

        assert {response.status_code for response in responses} == {201}
        assert len({response.json()["id"] for response in responses}) == 1
        assert (stored_files(directory), rows()) == (1, 1)

    def test_parallel_uploads_under_one_key_leave_one_file(self, caller: Caller, path: str, directory: Path) -> None:
        with ThreadPoolExecutor(4) as threads:
            statuses = set(threads.map(lambda _: upload(caller, path, 1, "the-file").status_code, range(TIMES)))

        assert statuses <= {201, 409}
        assert caller.get(path).json()["total"] == 1
        assert (stored_files(directory), rows()) == (1, 1)

    def test_uploading_and_deleting_leaves_nothing_and_never_exceeds_the_quota(
        self, caller: Caller, path: str, directory: Path
    ) -> None:
        occupied = []
        for _ in range(TIMES):
            added = upload(caller, path, 60)
            occupied.append(stored_bytes(directory))
            assert caller.delete(added.headers["Location"]).status_code == 204

        assert max(occupied) <= QUOTA
        assert (stored_files(directory), rows()) == (0, 0)

    def test_two_uploads_at_the_edge_of_the_quota_store_one_file(
        self, caller: Caller, path: str, directory: Path
    ) -> None:
        with ThreadPoolExecutor(2) as threads:
            statuses = list(threads.map(lambda _: upload(caller, path, 60).status_code, range(2)))

        assert sorted(statuses) == [201, 413]
        assert (stored_bytes(directory), rows()) == (60, 1)

    def test_a_file_that_is_refused_after_it_was_stored_is_removed_at_once(
        self, caller: Caller, path: str, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> None:
            raise NotFound(msg("There is no such task."), code="task_not_found")

        monkeypatch.setattr(attachments, "attach", refuse)

        assert_problem(upload(caller, path), 404, "task_not_found")
        assert (stored_files(directory), rows()) == (0, 0)

    def test_files_of_a_deleted_task_count_until_the_sweep_has_removed_them(
        self, caller: Caller, path: str, directory: Path
    ) -> None:
        doomed = create_task_at(caller)
        upload(caller, f"{doomed}/attachments", 60)
        assert caller.delete(doomed).status_code == 204

        assert_problem(upload(caller, path, 60), 413, "quota_exceeded")
        assert attachments.sweep(LocalStorage(directory)) == 1
        assert upload(caller, path, 60).status_code == 201
        assert stored_bytes(directory) == 60

    def test_a_file_that_could_not_be_removed_still_counts(
        self, caller: Caller, path: str, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object) -> None:
            raise Unavailable(msg("The storage of attachments cannot be reached. Please try again."))

        added = upload(caller, path, 60)
        with monkeypatch.context() as broken:
            broken.setattr(LocalStorage, "delete", fail)
            assert caller.delete(added.headers["Location"]).status_code == 204

        assert_problem(upload(caller, path, 60), 413, "quota_exceeded")
        assert attachments.sweep(LocalStorage(directory)) == 1
        assert upload(caller, path, 60).status_code == 201


def test_a_repeated_upload_and_a_deletion_leave_no_object_in_s3(
    client_with_settings: Any, settings: Settings, s3_url: str, alice: Actor, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = s3_settings(settings, s3_url)
    storage: Storage = storage_for(changed)
    keys: list[str] = []
    put = type(storage).put

    def remember(self: Storage, key: str, file: Any) -> None:
        keys.append(key)
        put(self, key, file)

    monkeypatch.setattr(type(storage), "put", remember)
    caller = client_with_settings(changed)(alice)
    first, _ = (upload(caller, path, 1, "the-file") for _ in range(2))
    assert len(keys) == 1
    assert caller.delete(first.headers["Location"]).status_code == 204

    with pytest.raises(Unavailable):
        storage.read(keys[0], 0, 1)
    assert rows() == 0


class TestBeforeTheBody:
    def test_an_upload_over_the_quota_is_refused_before_its_body_is_sent(self, caller: Caller, path: str) -> None:
        with begun(caller, path, LONG_BODY) as connection:
            response = connection.recv(65536)

        assert response.startswith(b"HTTP/1.1 413 ")
        assert b'"quota_exceeded"' in response

    def test_a_client_is_not_asked_for_the_body_where_the_quota_is_used_up(self, caller: Caller, path: str) -> None:
        upload(caller, path, QUOTA)

        with begun(caller, path, 1000, expect=True) as connection:
            response = connection.recv(65536)

        assert response.startswith(b"HTTP/1.1 413 ")
        assert b"\r\nconnection: close\r\n" in response

    def test_a_body_that_fits_is_asked_for(self, caller: Caller, path: str) -> None:
        with begun(caller, path, 1000, expect=True) as connection:
            assert connection.recv(65536).startswith(b"HTTP/1.1 100 ")

    def test_a_body_without_length_is_refused_where_the_quota_is_used_up(self, caller: Caller, path: str) -> None:
        upload(caller, path, QUOTA)

        response = caller.post(
            path,
            data=iter([FORM_START, FORM_END]),
            headers={"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"},
        )
        assert_problem(response, 413, "quota_exceeded")

    def test_a_repeated_upload_is_answered_although_it_has_used_up_the_quota(self, caller: Caller, path: str) -> None:
        first, again = (upload(caller, path, QUOTA, "the-file") for _ in range(2))

        assert (first.status_code, again.status_code) == (201, 201)
        assert again.json() == first.json()
        assert again.headers["Idempotency-Replayed"] == "true"


class TestBodiesOfUnknownLength:
    """The client does not announce how long its body is, and sends far more than it may."""

    @pytest.fixture
    def read_bytes(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """The lengths of all pieces that the server has read from its connections."""
        lengths: list[int] = []
        data_received = HttpProtocol.data_received

        def counted(protocol: HttpProtocol, data: bytes) -> None:
            lengths.append(len(data))
            data_received(protocol, data)

        monkeypatch.setattr(HttpProtocol, "data_received", counted)
        return lengths

    @pytest.fixture
    def temporary_files(self, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
        """The temporary files of all uploads."""
        files: list[Any] = []
        make = tempfile.TemporaryFile

        def noted() -> Any:
            files.append(make())
            return files[-1]

        monkeypatch.setattr(uploads.tempfile, "TemporaryFile", noted)
        return files

    def response_to(self, caller: Caller, path: str, megabytes: int) -> bytes:
        """Send a file in chunks until the server takes no more, and return what the server has sent."""
        head = (
            f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {caller.token}\r\n"
            f"Content-Type: {MEDIA_TYPE}\r\nTransfer-Encoding: chunked\r\n\r\n"
        ).encode()
        with socket.create_connection(caller.address, timeout=20) as connection:
            with suppress(ConnectionError):
                connection.sendall(head + chunk(FORM_START))
                for _ in range(megabytes):
                    connection.sendall(chunk(b"x" * MIB))
            return connection.recv(65536)

    @pytest.mark.parametrize(
        ("changes", "code"),
        [({"attachment_quota_bytes": MIB}, b'"quota_exceeded"'), ({"attachment_max_bytes": MIB}, b'"body_too_large"')],
        ids=["quota", "largest file"],
    )
    def test_no_more_is_read_than_a_file_may_have(
        self,
        client_with_settings: Any,
        settings: Settings,
        alice: Actor,
        path: str,
        changes: dict[str, int],
        code: bytes,
        read_bytes: list[int],
        temporary_files: list[Any],
    ) -> None:
        caller = client_with_settings(settings.model_copy(update=changes))(alice)

        response = self.response_to(caller, path, megabytes=64)

        assert response.startswith(b"HTTP/1.1 413 ")
        assert code in response
        # The file, as much again that is dropped after the response, and what was under way inside the server.
        assert sum(read_bytes) < 5 * MIB
        assert [file.closed for file in temporary_files] == [True]

    def test_the_rest_of_the_quota_counts(self, caller: Caller, path: str, directory: Path) -> None:
        upload(caller, path, QUOTA - 10)

        def upload_in_chunks(size: int) -> Any:
            chunks = iter([FORM_START, b"x" * size, FORM_END])
            return caller.post(path, data=chunks, headers={"Content-Type": MEDIA_TYPE})

        assert_problem(upload_in_chunks(11), 413, "quota_exceeded")
        assert upload_in_chunks(10).status_code == 201
        assert stored_bytes(directory) == QUOTA

    def test_a_repeated_upload_may_be_as_long_as_the_first(self, caller: Caller, path: str) -> None:
        first, again = (
            caller.post(
                path,
                data=iter([FORM_START, b"x" * QUOTA, FORM_END]),
                headers={"Content-Type": MEDIA_TYPE, "Idempotency-Key": "the-file"},
            )
            for _ in range(2)
        )

        assert (first.status_code, again.status_code) == (201, 201)
        assert again.json() == first.json()


class TestUploadsUnderWay:
    """An upload is under way as soon as the server asks for its body with status 100."""

    @contextmanager
    def under_way(self, caller: Caller, path: str) -> Iterator[socket.socket]:
        with begun(caller, path, len(FORM_START + FORM_END), expect=True) as connection:
            assert connection.recv(65536).startswith(b"HTTP/1.1 100 ")
            yield connection

    def test_a_user_has_only_so_many(
        self, client_with_settings: Any, small: Settings, alice: Actor, bob: Actor, path: str
    ) -> None:
        client_of = client_with_settings(small.model_copy(update={"attachment_uploads_per_user": 2}))
        as_alice, as_bob = client_of(alice), client_of(bob)

        with self.under_way(as_alice, path) as first, self.under_way(as_alice, path):
            refused = upload(as_alice, path)
            assert_problem(refused, 429, "too_many_uploads")
            assert int(refused.headers["Retry-After"]) > 0
            assert upload(as_bob, path).status_code == 201
            first.sendall(FORM_START + FORM_END)
            assert first.recv(65536).startswith(b"HTTP/1.1 201 ")
            assert upload(as_alice, path).status_code == 201

    def test_all_users_together_have_only_so_many(
        self, client_with_settings: Any, small: Settings, alice: Actor, bob: Actor, path: str
    ) -> None:
        client_of = client_with_settings(small.model_copy(update={"attachment_uploads": 1}))
        as_bob = client_of(bob)

        with self.under_way(client_of(alice), path):
            refused = upload(as_bob, path)
            assert_problem(refused, 503, "overloaded")
            assert int(refused.headers["Retry-After"]) > 0
        wait_until(lambda: upload(as_bob, path).status_code == 201)

    def test_twenty_uploads_that_begin_together_are_refused_beyond_the_limit(
        self, client_with_settings: Any, small: Settings, alice: Actor, path: str
    ) -> None:
        caller = client_with_settings(small)(alice)

        def begin(_: int) -> bytes:
            with begun(caller, path, 1000, expect=True) as connection:
                response = connection.recv(65536)[:12]
                answered.append(response)
                wait_until(lambda: len(answered) == 20)
                return response

        answered: list[bytes] = []
        with ThreadPoolExecutor(20) as threads:
            statuses = list(threads.map(begin, range(20)))

        assert sorted(statuses) == [b"HTTP/1.1 100"] * 6 + [b"HTTP/1.1 429"] * 14
