"""Servers for the test run, and test users: Alice (owner), Bob (assignee), Mallory (stranger) and Ada (admin)."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import hypothesis
import psycopg2
import pytest
from redis import Redis

from core import db, services
from core.config import Settings
from core.local.embedded.servers import ROLE, EmbeddedPostgres, EmbeddedRedis
from core.migrations import migrate
from core.policy import Actor, Role
from tests.browser.chromium import find_chromium
from tests.builders import BCRYPT_ROUNDS, create_actor
from tests.doubles.weather import WeatherServer
from tests.e2e.fixtures import collector, mail, provider, system
from tests.processes import free_port
from tests.s3 import s3_server
from tests.scheduling import OneSystemScheduling
from tests.sql import execute

__all__ = ["collector", "mail", "provider", "system"]

# As in a worker: services declare which jobs follow from an event, and a test need not import them all itself.
services.import_all()

# No test asserts how long something takes: an example may take long when the machine does something else.
hypothesis.settings.register_profile("without deadlines", deadline=None)
hypothesis.settings.load_profile("without deadlines")

_STATEMENT_SECONDS = 10.0
# The application's role has neither right: only the tests skip triggers and make further databases.
_RIGHTS_OF_THE_TESTS = f"GRANT SET ON PARAMETER session_replication_role TO {ROLE}; ALTER ROLE {ROLE} CREATEDB"
# Deleting the few rows of a test is faster than truncating all tables with their indexes. In the role of a replica
# the session skips foreign keys and triggers. Rows of a partition are deleted through the table that is divided.
_EMPTY_ALL_TABLES = """
SELECT 'BEGIN; SET LOCAL session_replication_role = replica; '
    || string_agg(format('DELETE FROM %I;', relname), ' ')
    || ' UPDATE event_log_state SET jobs_seq = last_seq; COMMIT'
FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
    AND relname NOT IN ('migratehistory', 'event_log_state')
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screenshots", type=Path, help="make the pictures of the documents, in this directory")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say it clearly if the console was not tested."""
    if find_chromium() is None:
        terminalreporter.write_sep(
            "!", "NO CHROMIUM FOUND: THE CONSOLE WAS NOT TESTED IN A BROWSER", red=True, bold=True
        )


# Files with long tests come first, so that no worker of the test run still has one when all others have finished.
_DIRECTORIES_IN_ORDER = ("browser", "e2e", "local", "worker", "api", "core", "unit")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the tests by their directories; within a directory they keep their order."""
    tests = Path(__file__).parent
    ranks = {tests / name: rank for rank, name in enumerate(_DIRECTORIES_IN_ORDER)}
    items.sort(key=lambda item: ranks.get(item.path.parent, len(ranks)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneSystemScheduling | None:
    """Replace the scheduler of `--dist loadfile`."""
    return OneSystemScheduling(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture(scope="session")
def postgres_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the test run's PostgreSQL."""
    return tmp_path_factory.mktemp("postgres")


@pytest.fixture(scope="session")
def postgres_url(postgres_directory: Path) -> Iterator[str]:
    """A new PostgreSQL cluster with the migrated schema."""
    with EmbeddedPostgres(postgres_directory, durable=False) as server:
        migrate(server.url)
        with closing(psycopg2.connect(server.url.replace(f"{ROLE}@", "postgres@"))) as connection:
            connection.cursor().execute(_RIGHTS_OF_THE_TESTS)
            connection.commit()
        yield server.url


@pytest.fixture
def postgres_log(postgres_directory: Path, postgres_url: str) -> Path:
    """The file to which the test run's PostgreSQL writes its log."""
    return postgres_directory / "log"


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path_factory.mktemp("redis"), durable=False) as server:
        yield server


@pytest.fixture(scope="session")
def redis_url(redis_server: EmbeddedRedis) -> str:
    return redis_server.url


@pytest.fixture(scope="session")
def environ(postgres_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Environment variables for processes that use these servers; they are also set in this process."""
    variables = {
        "APP_ENV": "development",
        "DATABASE_URL": postgres_url,
        "REDIS_URL": redis_url,
        "SECRET_KEY": "a secret of the test run, long enough to sign with",
        "BCRYPT_ROUNDS": str(BCRYPT_ROUNDS),
        "RATE_LIMIT": "100000/minute",
        "RATE_LIMIT_CREDENTIALS": "100000/minute",
        "LOG_FILE": str(tmp_path_factory.mktemp("log") / "app.log"),
        "WEATHER_RETRY_SECONDS": "0.1",
        # Nothing listens there, so no test can ask the real provider by mistake.
        "OPEN_METEO_URL": "http://127.0.0.1:1",
        "OPEN_METEO_GEOCODING_URL": "http://127.0.0.1:1",
        "ATTACHMENT_DIR": str(tmp_path_factory.mktemp("storage") / "attachments"),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield variables


@pytest.fixture(scope="session")
def settings(environ: dict[str, str]) -> Settings:
    return Settings.from_environ(environ)


@pytest.fixture(scope="session")
def empty_all_tables(postgres_url: str) -> str:
    """The statements that empty all tables of the test run's database."""
    with closing(psycopg2.connect(postgres_url)) as connection, connection.cursor() as cursor:
        cursor.execute(_EMPTY_ALL_TABLES)
        (statements,) = cursor.fetchone()
    return str(statements)


@pytest.fixture(scope="session")
def use_database(postgres_url: str) -> Callable[[], None]:
    """Return a function that points this process at the test run's database.

    A connection that is already there is kept, because the first statements on a new one are slow.
    """
    ours: tuple[object, object] | None = None

    def use() -> None:
        nonlocal ours
        # A test or an app may have configured another database, or this one with other parameters.
        if (db.database.database, db.database.connect_params) != ours:
            db.configure(postgres_url, application="tests", statement_seconds=_STATEMENT_SECONDS)
            ours = db.database.database, dict(db.database.connect_params)

    return use


@pytest.fixture(scope="session")
def redis(redis_url: str) -> Iterator["Redis[bytes]"]:
    """A client of Redis. Its connection is kept, because making one takes longer than to empty Redis."""
    with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def database(use_database: Callable[[], None], empty_all_tables: str, redis: "Redis[bytes]") -> None:
    """Empty the database and Redis. Sequences are not reset, as in production."""
    use_database()
    execute(empty_all_tables)
    redis.flushdb()


@pytest.fixture
def alice(database: None) -> Actor:
    """The owner of the tested tasks."""
    return create_actor("alice")


@pytest.fixture
def bob(database: None) -> Actor:
    """The user to whom Alice assigns tasks."""
    return create_actor("bob")


@pytest.fixture
def mallory(database: None) -> Actor:
    """A user without access to the tested tasks."""
    return create_actor("mallory")


@pytest.fixture
def ada(database: None) -> Actor:
    """An admin."""
    return create_actor("ada", Role.ADMIN)


@pytest.fixture(scope="session")
def s3_url() -> Iterator[str]:
    """A real S3 server on loopback, with a bucket."""
    with s3_server() as url:
        yield url


@pytest.fixture
def weather() -> Iterator[WeatherServer]:
    """A weather provider on loopback that a test can make fail."""
    with WeatherServer() as server:
        yield server


@pytest.fixture
def unused_tcp_port() -> int:
    """A port of this machine on which no process listens."""
    return free_port()
