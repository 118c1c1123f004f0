"""Make a backup while the system runs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg2

from core import __version__
from core.backup import tables
from core.backup.archive import ArchiveWriter, BackupError, Manifest, TableData, place_of_file, place_of_table
from core.config import Settings
from core.errors import Unavailable
from core.security import hash_password
from core.storage import Storage, storage_for

Report = Callable[[str, int, int], object]
"""Is told what is being done, and how many of how many steps are done."""

_FILES = "SELECT DISTINCT ON (file_key) file_key, size FROM attachments ORDER BY file_key"
_IS_ATTACHED = "SELECT EXISTS (SELECT FROM attachments WHERE file_key = %s)"


@dataclass(frozen=True, slots=True)
class BackedUp:
    """What a backup contains, and the keys of the files that could not be read although attachments refer to them."""

    tables: int
    files: int
    bytes: int
    missing: list[str]


def back_up(settings: Settings, path: Path, report: Report) -> BackedUp:
    """Write the database and the files of attachments into an archive.

    The database is copied as it is at one moment. The files are copied afterwards, so those that are deleted meanwhile
    are left out.

    Raises:
        BackupError: if PostgreSQL cannot be reached or used, or the archive cannot be written.
    """
    url = settings.database_url.get_secret_value()
    try:
        with tables.connect(url) as connection:
            connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
            with connection.cursor() as cursor:
                manifest = _manifest(settings, cursor)
                cursor.execute(_FILES)
                files: list[tuple[str, int]] = cursor.fetchall()
                with ArchiveWriter(path).writing(manifest) as archive:
                    steps = _Steps(report, len(manifest.tables) + len(files))
                    for table in manifest.tables:
                        steps.begin(table.name)
                        _copy_table(cursor, table, archive)
                    # The snapshot is not needed any more, and would keep PostgreSQL from cleaning up.
                    connection.rollback()
                    missing = list(_copy_files(storage_for(settings), files, archive, steps, url))
                    steps.end()
    except psycopg2.Error as error:
        raise BackupError(f"PostgreSQL: {str(error).strip()}") from None
    except OSError as error:
        raise BackupError(f"{path} cannot be written: {error.strerror}.") from None
    return BackedUp(len(manifest.tables), len(files) - len(missing), path.stat().st_size, missing)


class _Steps:
    def __init__(self, report: Report, total: int) -> None:
        self._report = report
        self._done = 0
        self._total = total

    def begin(self, what: str) -> None:
        """Report that the next step begins."""
        self._report(what, self._done, self._total)
        self._done += 1

    def end(self) -> None:
        """Report that all steps are done."""
        self._report("", self._total, self._total)


def _manifest(settings: Settings, cursor: Any) -> Manifest:
    migrations = tables.migrations_of(cursor)
    if not migrations:
        raise BackupError("The database has no tables of Allweather.")
    return Manifest(
        version=__version__,
        created_at=datetime.now(UTC).isoformat(),
        migrations=migrations,
        tables=tables.tables_of(cursor),
        sequences=tables.sequences_of(cursor),
        secret_check=hash_password(settings.secret_key.get_secret_value(), settings.bcrypt_rounds),
    )


def _copy_table(cursor: Any, table: TableData, archive: ArchiveWriter) -> None:
    with archive.spool() as file:
        cursor.copy_expert(tables.copy_out(table), file)
        archive.add_spooled(place_of_table(table.name), file)


def _copy_files(
    storage: Storage, files: list[tuple[str, int]], archive: ArchiveWriter, steps: _Steps, url: str
) -> Iterator[str]:
    """Copy the files, and yield the keys of those that are missing."""
    for key, size in files:
        steps.begin(key)
        try:
            with archive.spool() as file:
                for chunk in storage.read(key, 0, size):
                    file.write(chunk)
                archive.add_spooled(place_of_file(key), file)
        except Unavailable:
            if _is_attached(url, key):
                yield key


def _is_attached(url: str, key: str) -> bool:
    with tables.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(_IS_ATTACHED, (key,))
        return bool(cursor.fetchone()[0])
