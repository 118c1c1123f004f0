"""The behaviour that local storage and S3 storage have in common, tested with a directory and a real S3 server."""

import io
import stat
from pathlib import Path

import pytest

from core.config import Settings
from core.errors import Unavailable
from core.storage import CHUNK_BYTES, LocalStorage, Storage, new_key, storage_for
from tests.s3 import s3_settings

LARGE = bytes(range(256)) * (CHUNK_BYTES // 128)


@pytest.fixture(params=["local", "s3"])
def storage(request: pytest.FixtureRequest, settings: Settings, tmp_path: Path) -> Storage:
    if request.param == "local":
        return LocalStorage(tmp_path / "attachments")
    return storage_for(s3_settings(settings, request.getfixturevalue("s3_url")))


@pytest.fixture(params=["local", "s3"])
def broken(request: pytest.FixtureRequest, settings: Settings, tmp_path: Path, unused_tcp_port: int) -> Storage:
    """An unavailable storage: a file in place of the directory, or a port on which no process listens."""
    if request.param == "local":
        (tmp_path / "attachments").touch()
        return LocalStorage(tmp_path / "attachments")
    return storage_for(s3_settings(settings, f"http://127.0.0.1:{unused_tcp_port}"))


def content(storage: Storage, key: str, start: int, end: int) -> bytes:
    return b"".join(storage.read(key, start, end))


@pytest.mark.parametrize("written", [b"", b"x", LARGE], ids=["empty", "small", "several chunks"])
def test_a_stored_file_can_be_read(storage: Storage, written: bytes) -> None:
    key = new_key()
    storage.put(key, io.BytesIO(written))

    assert content(storage, key, 0, len(written)) == written


def test_a_file_is_stored_from_its_start_whatever_its_position(storage: Storage) -> None:
    key, file = new_key(), io.BytesIO(b"whole")
    file.read()
    storage.put(key, file)

    assert content(storage, key, 0, 5) == b"whole"


@pytest.mark.parametrize(("start", "end"), [(0, 1), (1, 4), (5, CHUNK_BYTES + 7), (len(LARGE) - 1, len(LARGE))])
def test_a_range_can_be_read(storage: Storage, start: int, end: int) -> None:
    key = new_key()
    storage.put(key, io.BytesIO(LARGE))

    assert content(storage, key, start, end) == LARGE[start:end]


def test_a_deleted_file_cannot_be_read_and_can_be_deleted_again(storage: Storage) -> None:
    key, other = new_key(), new_key()
    storage.put(key, io.BytesIO(b"x"))
    storage.put(other, io.BytesIO(b"y"))

    storage.delete(key)
    storage.delete(key)

    for end in (0, 1):
        with pytest.raises(Unavailable):
            storage.read(key, 0, end)
    assert content(storage, other, 0, 1) == b"y"


def test_an_unavailable_storage_raises_before_any_content_is_returned(broken: Storage) -> None:
    for failing in (
        lambda: broken.put("key", io.BytesIO(b"x")),
        lambda: broken.read("key", 0, 1),
        lambda: broken.delete("key"),
    ):
        with pytest.raises(Unavailable) as refused:
            failing()
        assert refused.value.stable_code == "storage_unavailable"


def test_a_missing_bucket_is_an_unavailable_storage(settings: Settings, s3_url: str) -> None:
    with pytest.raises(Unavailable):
        storage_for(s3_settings(settings, s3_url, bucket="elsewhere")).put("key", io.BytesIO(b"x"))


def test_local_files_are_private_and_leave_no_temporary_files(tmp_path: Path) -> None:
    directory = tmp_path / "made" / "when needed"
    LocalStorage(directory).put("key", io.BytesIO(b"x"))

    assert [path.name for path in directory.iterdir()] == ["key"]
    assert stat.S_IMODE((directory / "key").stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_a_partly_written_file_cannot_be_read_and_can_be_deleted(tmp_path: Path) -> None:
    class Breaking(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError

    storage = LocalStorage(tmp_path)
    with pytest.raises(Unavailable):
        storage.put("key", Breaking())

    with pytest.raises(Unavailable):
        storage.read("key", 0, 1)
    storage.delete("key")
    assert list(tmp_path.iterdir()) == []
