"""The commands for backups."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Final

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from core.backup.archive import BackupError
from core.backup.backup import Report, back_up
from core.backup.restore import restore
from core.cli.application import FAILED, command
from core.cli.failure import CommandFailed
from core.cli.output import Session, plain
from core.config import Settings
from core.errors import Unavailable
from core.local.embedded.environment import complete_environment
from core.private_files import write_private

_FILE: Final = click.Path(dir_okay=False, path_type=Path)


@command("backup")
@click.argument("file", type=_FILE)
@click.option("--with-secret", type=_FILE, metavar="FILE", help="Write SECRET_KEY into a file of its own.")
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
def _backup(session: Session, file: Path, with_secret: Path | None, force: bool) -> int | None:
    """Back up the database and the files of attachments while the system runs.

    The archive contains personal data and hashes of passwords, but not SECRET_KEY. Only you may read it. Keep the key
    in another place.
    """
    if with_secret is not None and with_secret.resolve() == file.resolve():
        raise CommandFailed("SECRET_KEY needs a file of its own: here it would replace the archive.")
    for target in (file, with_secret):
        if target is not None and target.exists() and not force:
            raise CommandFailed(f"{target} exists; --force replaces it.")
    with _settings(session) as settings, _progress(session) as report:
        written = back_up(settings, file, report)
        if with_secret is not None:
            write_private(with_secret, settings.secret_key.get_secret_value())
    sentences = [f"{file}: {written.tables} tables and {written.files} files, {written.bytes:,} bytes."]
    if written.missing:
        sentences.append(f"{len(written.missing)} files of attachments could not be read; see the log of the storage.")
    session.output.show(asdict(written), *sentences)
    return FAILED if written.missing else None


@command("restore")
@click.argument("file", type=_FILE)
@click.option("--force", is_flag=True, help="Replace the data of a database that has some.")
def _restore(session: Session, file: Path, force: bool) -> None:
    """Restore a backup, and bring the schema up to date. Stop web, worker and beat first."""
    with _settings(session) as settings, _progress(session) as report:
        restored = restore(settings, file, report, force=force)
    sentences = [f"Restored {restored.tables} tables and {restored.files} files of {restored.created_at}."]
    if not restored.has_same_secret:
        sentences.append("SECRET_KEY is not that of the backup: all have to sign in again, and links in mails end.")
    sentences.append("Start the processes, and run: allweather doctor")
    session.output.show(asdict(restored), *sentences)


@contextmanager
def _settings(session: Session) -> Iterator[Settings]:
    try:
        with complete_environment(session.environ) as (environment, _):
            yield Settings.from_environ(environment)
    except BackupError as error:
        raise CommandFailed(str(error)) from None
    except Unavailable:
        raise CommandFailed("The storage of attachments cannot be used; `allweather doctor` says why.") from None


@contextmanager
def _progress(session: Session) -> Iterator[Report]:
    """Show a bar on a terminal; yields the function that moves it."""
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=session.output.messages, transient=True) as progress:
        task = progress.add_task("", total=None)

        def move(what: str, done: int, total: int) -> None:
            progress.update(task, description=plain(what).plain, completed=done, total=total or None)

        yield move
