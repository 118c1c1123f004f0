"""Restore a backup into a database without data, while nothing else uses it."""

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg2
from psycopg2 import sql

from core.backup import tables
from core.backup.archive import ArchiveReader, BackupError, Manifest, place_of_file, place_of_table
from core.backup.backup import Report
from core.config import Settings
from core.migrations import known_migrations, migrate
from core.security import verify_password
from core.storage import CHUNK_BYTES, storage_for

# The processes that ran when the backup was made do not run here, and would be shown as killed.
_PROCESSES: Final = "processes"

_KEY: Final = re.compile(rf"{re.escape(place_of_file(''))}([0-9a-f]{{32}})")

# Events after the backup may have used the numbers that follow. Listeners that have seen such a number must not get
# other events under the same numbers; the server tells them to read everything again.
_SKIP_NUMBERS: Final = """
UPDATE event_log_state SET last_seq = last_seq + 1000000,
    jobs_seq = CASE WHEN jobs_seq = last_seq THEN last_seq + 1000000 ELSE jobs_seq END
"""


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored, and whether the secret key is that of the backup."""

    created_at: str
    tables: int
    files: int
    has_same_secret: bool


def restore(settings: Settings, path: Path, report: Report, *, force: bool) -> Restored:
    """Restore the database and the files of attachments, and bring the schema up to date.

    The whole archive is checked first. The data of all tables are restored or none of them: after a failure the
    database has no data, and the restoration can be repeated. With `force` the data of the database are replaced.

    Raises:
        BackupError: if the archive is damaged or of a newer version, if processes of Allweather are running, or if the
            database has data and `force` is not set.
        Unavailable: if the storage fails.
    """
    report("checking the archive", 0, 0)
    archive = ArchiveReader(path)
    manifest = archive.checked_manifest()
    if unknown := set(manifest.migrations) - set(known_migrations()):
        raise BackupError(f"The backup is of a newer version, with {min(unknown)}. Restore it with that version.")
    url = settings.database_url.get_secret_value()
    try:
        with tables.connect(url) as connection:
            with connection, connection.cursor() as cursor:
                _require_unused(cursor, force=force)
                tables.drop_everything(cursor)
            migrate(url, manifest.migrations[-1])
            with connection, connection.cursor() as cursor:
                _require_same_tables(cursor, manifest)
                _restore_tables(cursor, archive, manifest, report)
        migrate(url)
    except psycopg2.Error as error:
        raise BackupError(f"PostgreSQL: {str(error).strip()}") from None
    files = _restore_files(settings, archive, report)
    has_same_secret = verify_password(settings.secret_key.get_secret_value(), manifest.secret_check)
    return Restored(manifest.created_at, len(manifest.tables), files, has_same_secret)


def _require_unused(cursor: Any, *, force: bool) -> None:
    if running := tables.running_processes(cursor):
        raise BackupError(f"Stop {' and '.join(running)} first.")
    if not force and tables.holds_data(cursor):
        raise BackupError("The database has data. --force replaces them; make a backup of them first.")


def _require_same_tables(cursor: Any, manifest: Manifest) -> None:
    """Refuse an archive that does not fit the schema; its names are never trusted further than this."""
    present = {table.name: set(table.columns) for table in tables.tables_of(cursor)}
    if {table.name: set(table.columns) for table in manifest.tables} != present:
        raise BackupError("The tables of the backup are not those of its migrations.")


def _restore_tables(cursor: Any, archive: ArchiveReader, manifest: Manifest, report: Report) -> None:
    by_place = {place_of_table(table.name): table for table in manifest.tables}
    for table in manifest.tables:
        # The data contain what the triggers have computed already.
        cursor.execute(sql.SQL("ALTER TABLE {} DISABLE TRIGGER USER").format(sql.Identifier(table.name)))
        cursor.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table.name)))
    done = 0
    by_place.pop(place_of_table(_PROCESSES), None)
    for place, content in archive.members():
        if table_data := by_place.get(place):
            report(table_data.name, done, len(by_place))
            cursor.copy_expert(tables.copy_in(table_data), content)
            done += 1
    for table in manifest.tables:
        cursor.execute(sql.SQL("ALTER TABLE {} ENABLE TRIGGER USER").format(sql.Identifier(table.name)))
    for name, value in manifest.sequences.items():
        cursor.execute("SELECT setval(%s::regclass, %s)", (sql.Identifier(name).as_string(cursor), value))
    cursor.execute(_SKIP_NUMBERS)


def _restore_files(settings: Settings, archive: ArchiveReader, report: Report) -> int:
    storage, done = storage_for(settings), 0
    for place, content in archive.members():
        if match := _KEY.fullmatch(place):
            done += 1
            report(match[1], done, 0)
            # A storage may read a file twice, and what is read from the archive cannot be read again.
            with tempfile.TemporaryFile() as file:
                while chunk := content.read(CHUNK_BYTES):
                    file.write(chunk)
                storage.put(match[1], file)
    return done
