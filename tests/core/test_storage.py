"""What a storage promises, kept by a directory and by a real S3 server alike."""

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
    """A storage that cannot be reached: a file where the directory should be, a port on which nobody listens."""
    if request.param == "local":
        (tmp_path / "attachments").touch()
        return LocalStorage(tmp_path / "attachments")
    return storage_for(s3_settings(settings, f"http://127.0.0.1:{unused_tcp_port}"))


def content(storage: Storage, key: str, start: int, end: int) -> bytes:
    return b"".join(storage.read(key, start, end))


@pytest.mark.parametrize("written", [b"", b"x", LARGE], ids=["empty", "small", "several chunks"])
def test_what_was_put_is_read(storage: Storage, written: bytes) -> None:
    key = new_key()
    storage.put(key, io.BytesIO(written))

    assert content(storage, key, 0, len(written)) == written


def test_a_file_is_stored_from_its_beginning_wherever_it_stands(storage: Storage) -> None:
    key, file = new_key(), io.BytesIO(b"whole")
    file.read()
    storage.put(key, file)

    assert content(storage, key, 0, 5) == b"whole"


@pytest.mark.parametrize(("start", "end"), [(0, 1), (1, 4), (5, CHUNK_BYTES + 7), (len(LARGE) - 1, len(LARGE))])
def test_a_part_is_read(storage: Storage, start: int, end: int) -> None:
    key = new_key()
    storage.put(key, io.BytesIO(LARGE))

    assert content(storage, key, start, end) == LARGE[start:end]


def test_what_was_deleted_is_gone_and_may_be_deleted_again(storage: Storage) -> None:
    key, other = new_key(), new_key()
    storage.put(key, io.BytesIO(b"x"))
    storage.put(other, io.BytesIO(b"y"))

    storage.delete(key)
    storage.delete(key)

    for end in (0, 1):
        with pytest.raises(Unavailable):
            storage.read(key, 0, end)
    assert content(storage, other, 0, 1) == b"y"


def test_a_storage_that_is_away_is_told_before_anything_is_answered(broken: Storage) -> None:
    for failing in (
        lambda: broken.put("key", io.BytesIO(b"x")),
        lambda: broken.read("key", 0, 1),
        lambda: broken.delete("key"),
    ):
        with pytest.raises(Unavailable) as refused:
            failing()
        assert refused.value.stable_code == "storage_unavailable"


def test_a_bucket_that_is_missing_is_a_storage_that_is_away(settings: Settings, s3_url: str) -> None:
    with pytest.raises(Unavailable):
        storage_for(s3_settings(settings, s3_url, bucket="elsewhere")).put("key", io.BytesIO(b"x"))


def test_local_files_are_their_owners_alone_and_under_no_other_name(tmp_path: Path) -> None:
    directory = tmp_path / "made" / "when needed"
    LocalStorage(directory).put("key", io.BytesIO(b"x"))

    assert [path.name for path in directory.iterdir()] == ["key"]
    assert stat.S_IMODE((directory / "key").stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_half_a_file_is_never_found_and_goes_with_its_key(tmp_path: Path) -> None:
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
