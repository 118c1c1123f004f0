"""The archive of a backup: a compressed tar file that says at its end what it must contain.

The first member describes the backup. The last one has the checksums of all others, so an archive that was cut off or
damaged is noticed before anything is restored from it.
"""

import hashlib
import io
import os
import tarfile
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, Final

import orjson

from core.private_files import open_privately

FORMAT: Final = 1
_MANIFEST: Final = "manifest.json"
_COMPLETE: Final = "complete.json"
_CHUNK_BYTES: Final = 1024 * 1024


class BackupError(Exception):
    """A backup cannot be made or restored; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class TableData:
    """The data of one table in an archive: its name, and the columns in their order."""

    name: str
    columns: list[str]


@dataclass(frozen=True, slots=True)
class Manifest:
    """The description of a backup. `secret_check` is a bcrypt hash, by which the secret key can be recognized."""

    version: str
    created_at: str
    migrations: list[str]
    tables: list[TableData]
    sequences: dict[str, int]
    secret_check: str
    format: int = FORMAT

    @classmethod
    def of(cls, document: dict[str, Any]) -> "Manifest":
        """Return the manifest of a document.

        Raises:
            BackupError: if it is no manifest, or that of another format.
        """
        if document.get("format") != FORMAT:
            raise BackupError(f"The archive has format {document.get('format')}; this version reads format {FORMAT}.")
        return cls(**(document | {"tables": [TableData(**table) for table in document["tables"]]}))


def place_of_table(name: str) -> str:
    """Return the name of the member with the data of a table."""
    return f"database/{name}.copy"


def place_of_file(key: str) -> str:
    """Return the name of the member with a file of the storage."""
    return f"attachments/{key}"


class ArchiveWriter:
    """Writes an archive to a file that only its owner may read; the file appears only when it is complete."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._draft = path.with_name(path.name + ".part")
        self._checksums: dict[str, str] = {}

    @contextmanager
    def writing(self, manifest: Manifest) -> Iterator["ArchiveWriter"]:
        """Begin the archive with its manifest, and end it after the block; after a failure nothing is left."""
        self._draft.unlink(missing_ok=True)
        try:
            with (
                open(self._draft, "xb", opener=open_privately) as file,
                tarfile.open(fileobj=file, mode="w:gz", compresslevel=6) as self._tar,
            ):
                self.add(_MANIFEST, [orjson.dumps(asdict(manifest))])
                yield self
                content = orjson.dumps(self._checksums)
                self._add_member(_COMPLETE, io.BytesIO(content), len(content))
            with self._draft.open("rb") as written:
                os.fsync(written.fileno())
            self._draft.replace(self._path)
        finally:
            self._draft.unlink(missing_ok=True)

    def add(self, name: str, chunks: Iterable[bytes]) -> None:
        """Add a member."""
        with self.spool() as file:
            for chunk in chunks:
                file.write(chunk)
            self.add_spooled(name, file)

    @contextmanager
    def spool(self) -> Iterator[IO[bytes]]:
        """Yield a file without a name for one member, whose size must be known before it is added."""
        with tempfile.TemporaryFile(dir=self._path.parent) as file:
            yield file

    def add_spooled(self, name: str, file: IO[bytes]) -> None:
        """Add a file of `spool()` as a member."""
        size = file.tell()
        file.seek(0)
        self._checksums[name] = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # see typeshed.
        file.seek(0)
        self._add_member(name, file, size)

    def _add_member(self, name: str, file: IO[bytes], size: int) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mode = size, 0o600
        self._tar.addfile(member, file)


class ArchiveReader:
    """Reads an archive member by member, in the order in which they were written."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def checked_manifest(self) -> Manifest:
        """Read the whole archive, and return its manifest if everything is there and undamaged.

        Raises:
            BackupError: if the archive is damaged, incomplete, or no backup.
        """
        checksums: dict[str, str] = {}
        manifest, promised = None, None
        with self._damage_as_error():
            for name, file in self.members():
                if name == _COMPLETE:
                    promised = orjson.loads(file.read())
                    continue
                if name == _MANIFEST:
                    content = file.read()
                    manifest = Manifest.of(orjson.loads(content))
                    checksums[name] = hashlib.sha256(content).hexdigest()
                else:
                    checksums[name] = _checksum(file)
        if manifest is None or promised is None or promised != checksums:
            raise BackupError(f"{self._path} is incomplete or damaged; nothing was restored. Use another backup.")
        return manifest

    def members(self) -> Iterator[tuple[str, BinaryIO]]:
        """Yield the name and the content of each member. The content can be read until the next member is taken.

        Raises:
            BackupError: if the file cannot be read, or is no archive.
        """
        with self._damage_as_error(), tarfile.open(self._path, mode="r|gz") as tar:
            for member in tar:
                content = tar.extractfile(member)
                if content is None:
                    raise BackupError(f"{self._path} is no backup of Allweather.")
                yield member.name, content  # type: ignore[misc]  # an IO[bytes] that is opened for reading.

    @contextmanager
    def _damage_as_error(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise BackupError(f"{self._path} cannot be read: {error.strerror or 'it is damaged'}.") from None
        except (tarfile.TarError, zlib.error, EOFError, orjson.JSONDecodeError):
            raise BackupError(f"{self._path} is incomplete or damaged, or no backup of Allweather.") from None


def _checksum(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()
