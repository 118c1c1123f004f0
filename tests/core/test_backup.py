"""Backups: what is restored is what was there, and nothing is replaced by mistake."""

import io
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from redis import Redis

from core import db
from core.activity import Activity
from core.backup import restore as restoring
from core.backup.archive import BackupError
from core.backup.backup import BackedUp, back_up
from core.backup.restore import Restored, restore
from core.backup.tables import tables_of
from core.config import Settings
from core.demo.seed import seed
from core.doctor import Level, examine_settings
from core.files import FileFacts
from core.heartbeat import Heartbeat
from core.migrations import migrate
from core.policy import Actor
from core.services import attachments
from core.services.processes import Identity
from core.storage import LocalStorage
from tests.api.realtime import RealtimeServer, next_frame, publish
from tests.builders import QUOTA, create_actor, create_task
from tests.sql import execute

CONTENT = b"a photograph of the gutters"


@pytest.fixture
def here(settings: Settings, tmp_path: Path) -> Settings:
    """The settings of the installation that is backed up."""
    return settings.model_copy(update={"attachment_dir": str(tmp_path / "here")})


@pytest.fixture
def there(here: Settings, empty_database: str, tmp_path: Path) -> Iterator[Settings]:
    """The settings of an installation without data, with the same secret key."""
    yield changed(here, database_url=empty_database, attachment_dir=str(tmp_path / "there"))
    db.disconnect()


@pytest.fixture
def key(here: Settings, alice: Actor) -> str:
    """A file that is attached to a task of Alice."""
    task_id = create_task(alice, city="London")
    key = attachments.announce(alice, len(CONTENT), QUOTA)
    LocalStorage(here.attachment_dir).put(key, io.BytesIO(CONTENT))
    attachments.attach(alice, task_id, key, FileFacts("gutters.jpg", "image/jpeg", len(CONTENT), "0" * 64))
    return key


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "allweather.backup"


def changed(settings: Settings, **changes: Any) -> Settings:
    return Settings.model_validate(settings.model_dump() | changes)


def write(settings: Settings, path: Path) -> BackedUp:
    return back_up(settings, path, lambda *_: None)


def read(settings: Settings, path: Path, *, force: bool = False) -> Restored:
    return restore(settings, path, lambda *_: None, force=force)


def content_of(settings: Settings) -> dict[str, list[str]]:
    """Return all rows of all tables, apart from the state of the event log, which a restoration changes."""
    with closing(psycopg2.connect(settings.database_url.get_secret_value())) as connection:
        cursor = connection.cursor()
        rows = {}
        for table in tables_of(cursor):
            if table.name != "event_log_state":
                cursor.execute(f"SELECT t::text FROM {table.name} t ORDER BY 1")
                rows[table.name] = [row for (row,) in cursor.fetchall()]
    return rows


def value_in(settings: Settings, query: str) -> Any:
    with closing(psycopg2.connect(settings.database_url.get_secret_value())) as connection, connection:
        cursor = connection.cursor()
        cursor.execute(query)
        return cursor.fetchone()[0]


def test_everything_is_restored(here: Settings, there: Settings, key: str, archive: Path) -> None:
    seed(1, "-", datetime.now(UTC))
    Heartbeat(Identity("web", "web"), Activity()).beat()

    written = write(here, archive)
    restored = read(there, archive)

    before, after = content_of(here), content_of(there)
    # The processes of the backup do not run here.
    assert (len(before.pop("processes")), after.pop("processes")) == (1, [])
    assert {name: rows for name, rows in after.items() if rows != before[name]} == {}
    assert (len(before["tasks"]), len(before["events"]) > 0) == (501, True)
    assert (written.files, restored.files, restored.has_same_secret) == (1, 1, True)
    assert b"".join(LocalStorage(there.attachment_dir).read(key, 0, 1000)) == CONTENT


def test_the_restored_installation_is_well_and_continues(
    here: Settings, there: Settings, key: str, archive: Path, use_database: Callable[[], None]
) -> None:
    last = value_in(here, "SELECT last_seq FROM event_log_state")
    newest = value_in(here, "SELECT max(id) FROM tasks")
    write(here, archive)
    read(there, archive)

    findings = examine_settings(there)
    use_database()

    assert [finding for finding in findings if finding.level is Level.BAD] == []
    # Listeners that have seen numbers after the backup must not get other events under these numbers.
    assert value_in(there, "SELECT last_seq FROM event_log_state") >= last + 1_000_000
    insertion = "INSERT INTO tasks (title, user_id) SELECT 'new', min(id) FROM users RETURNING id"
    assert value_in(there, insertion) > newest
    assert value_in(there, "SELECT count(*) FROM analytics_deltas") == value_in(
        here, "SELECT count(*) + 1 FROM analytics_deltas"
    )


def test_another_secret_key_is_noticed(here: Settings, there: Settings, key: str, archive: Path) -> None:
    write(here, archive)

    assert not read(changed(there, secret_key="another secret key, long enough to sign with"), archive).has_same_secret


def test_the_archive_is_private_and_has_no_secret_key(here: Settings, key: str, archive: Path) -> None:
    write(here, archive)

    assert archive.stat().st_mode & 0o777 == 0o600
    with tarfile.open(archive) as tar:
        contents = [tar.extractfile(member).read() for member in tar]  # type: ignore[union-attr]  # all are files.
    assert any(CONTENT in content for content in contents)
    assert not any(here.secret_key.get_secret_value().encode() in content for content in contents)


def test_a_file_that_is_lost_is_named(here: Settings, key: str, archive: Path) -> None:
    LocalStorage(here.attachment_dir).delete(key)

    assert write(here, archive).missing == [key]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: content[:-300],
        lambda content: content[:200] + b"\x00" + content[201:],
        lambda _: b"no archive at all",
        lambda _: b"",
    ],
    ids=["half", "without-end", "one-byte", "other-file", "empty"],
)
def test_a_damaged_archive_changes_nothing(
    damage: Callable[[bytes], bytes], here: Settings, there: Settings, key: str, archive: Path
) -> None:
    write(here, archive)
    archive.write_bytes(damage(archive.read_bytes()))
    url = there.database_url.get_secret_value()
    migrate(url)
    value_in(there, "INSERT INTO users (username, password_hash) VALUES ('bob', '-') RETURNING id")

    with pytest.raises(BackupError):
        read(there, archive, force=True)

    assert value_in(there, "SELECT username FROM users") == "bob"


def test_data_are_replaced_only_by_force(here: Settings, there: Settings, key: str, archive: Path) -> None:
    write(here, archive)
    read(there, archive)

    with pytest.raises(BackupError, match="--force"):
        read(there, archive)
    read(there, archive, force=True)

    assert content_of(there)["users"] == content_of(here)["users"]


def test_a_database_in_use_is_refused(here: Settings, there: Settings, key: str, archive: Path) -> None:
    write(here, archive)
    url = there.database_url.get_secret_value()

    with (
        closing(psycopg2.connect(url, application_name="allweather-worker")),
        pytest.raises(BackupError, match="Stop worker first"),
    ):
        read(there, archive, force=True)


def test_a_backup_of_a_newer_version_is_refused(
    here: Settings, there: Settings, key: str, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(here, archive)
    monkeypatch.setattr(restoring, "known_migrations", lambda: ["001_initial"])

    with pytest.raises(BackupError, match="newer version"):
        read(there, archive)


def test_a_backup_of_an_older_version_is_brought_up_to_date(
    here: Settings, there: Settings, tmp_path: Path, archive: Path
) -> None:
    url = there.database_url.get_secret_value()
    migrate(url, "009_names_and_tickets")
    value_in(there, "INSERT INTO users (username, password_hash) VALUES ('bob', '-') RETURNING id")
    write(there, archive)

    read(there, archive, force=True)

    assert value_in(there, "SELECT username FROM users WHERE unwanted_mail IS NOT NULL") == "bob"
    assert value_in(there, "SELECT count(*) FROM migratehistory") == value_in(
        here, "SELECT count(*) FROM migratehistory"
    )


def test_a_failed_backup_leaves_no_file(here: Settings, tmp_path: Path, unused_tcp_port: int) -> None:
    down = changed(here, database_url=f"postgresql://x@127.0.0.1:{unused_tcp_port}/x")

    with pytest.raises(BackupError, match="PostgreSQL"):
        write(down, tmp_path / "new")
    with pytest.raises(BackupError, match="cannot be written"):
        write(here, tmp_path / "missing" / "new")

    assert list(tmp_path.iterdir()) == []


def test_a_change_during_the_backup_is_not_in_a_part_of_it(
    here: Settings, there: Settings, alice: Actor, archive: Path
) -> None:
    def add_an_account(table: str, _done: int, _total: int) -> None:
        if table == "users":
            create_actor("bob")

    back_up(here, archive, add_an_account)
    read(there, archive)

    assert [value_in(there, f"SELECT count(*) FROM {table}") for table in ("users", "sessions")] == [1, 1]
    assert execute("SELECT count(*) FROM users").fetchone() == (2,)


def test_listeners_are_told_after_a_restoration_and_get_what_follows(
    here: Settings,
    there: Settings,
    key: str,
    alice: Actor,
    archive: Path,
    redis: "Redis[bytes]",
    use_database: Callable[[], None],
) -> None:
    last = publish(redis)
    write(here, archive)
    create_task(alice, title="after the backup")
    lost = publish(redis)
    read(there, archive)

    with (
        RealtimeServer(there) as server,
        server.listening(alice, f"/ws?since={last}") as one,
        server.listening(alice, f"/ws?since={lost}") as other,
    ):
        create_task(alice, title="after the restoration")
        publish(redis)
        for listener in (one, other):
            assert next_frame(listener)["type"] == "resync_required"
            assert next_frame(listener)["data"]["title"] == "after the restoration"
    use_database()
