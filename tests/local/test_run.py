"""`python -m core run`, with real servers and simple replacements for the processes of the Procfile."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # - the package ships no types
import psycopg2
import pytest

from core.config import ConfigurationError
from core.local.embedded.environment import complete_environment
from core.local.embedded.servers import EmbeddedPostgres, EmbeddedRedis
from core.local.run import run
from tests.local.project import copy_project
from tests.processes import DEADLINE_SECONDS, eventually, free_port, is_alive


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project with only a simple web process."""
    return copy_project(tmp_path)


@pytest.fixture
def start(project: Path) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Return a function that starts `run` in the project; its output goes to the file `output`."""
    started: list[subprocess.Popen[str]] = []
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "TMPDIR"}}

    def begin(**environment: str) -> "subprocess.Popen[str]":
        ports = {"PORT": str(free_port()), "FLOWER_PORT": str(free_port())}
        with (project / "output").open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "core", "run"],
                cwd=project,
                env={**kept, **ports, **environment},
                stdout=output,
                stderr=output,
                text=True,
            )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def kept_handlers() -> Iterator[None]:
    """Give this process its signal handlers back, which `run` replaces."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def web_processes(project: Path) -> str:
    """Return how many web processes were asked for."""
    eventually((project / "environment").exists)
    return str(json.loads((project / "environment").read_text())["WEB_CONCURRENCY"])


def test_run_starts_everything_restarts_a_killed_server_and_stops(
    project: Path, start: Callable[..., "subprocess.Popen[str]"]
) -> None:
    running = start(WEB_CONCURRENCY="7")
    eventually(lambda: "Allweather is ready." in (project / "output").read_text())
    family = psutil.Process(running.pid).children(recursive=True)
    redis = int((project / ".data" / "redis" / "server").read_text())

    os.kill(redis, signal.SIGKILL)
    eventually(lambda: (project / ".data" / "redis" / "server").read_text() not in {"", str(redis)})
    running.send_signal(signal.SIGTERM)

    assert running.wait(DEADLINE_SECONDS) == 0
    assert not any(is_alive(process.pid) for process in family)
    output = (project / "output").read_text()
    assert "starting PostgreSQL ... ready in" in output
    assert "Redis has ended; starting it again" in output
    assert "migrated the database: 001_initial" in output
    assert web_processes(project) == "7"


def test_half_of_the_cores_serve_unless_the_environment_says_otherwise(
    project: Path, start: Callable[..., "subprocess.Popen[str]"]
) -> None:
    start()

    assert web_processes(project) == str(min(max(len(os.sched_getaffinity(0)) // 2, 1), 4))


def test_a_busy_port_is_reported_before_anything_starts(
    project: Path, start: Callable[..., "subprocess.Popen[str]"]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])

        assert start(FLOWER_PORT=port).wait(DEADLINE_SECONDS) == 1

    assert (project / "output").read_text().strip() == f"Port {port} is busy; set FLOWER_PORT to another one."
    assert not (project / ".data").exists()


@pytest.mark.parametrize("port", ["http", "0", "65536", "-1", "٣"])
def test_an_invalid_port_is_refused(tmp_path: Path, kept_handlers: None, port: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^PORT: {port} is no port"):
        run({"PORT": port, "DATA_DIR": str(tmp_path)})


def test_a_second_run_with_the_same_data_is_refused(
    project: Path, start: Callable[..., "subprocess.Popen[str]"]
) -> None:
    with EmbeddedPostgres(project / ".data" / "postgresql", durable=False):
        assert start().wait(DEADLINE_SECONDS) == 1

    assert f"Allweather already runs with {project / '.data'}." in (project / "output").read_text()


def test_given_servers_need_a_given_secret_key(
    project: Path, start: Callable[..., "subprocess.Popen[str]"], postgres_url: str, redis_url: str
) -> None:
    given = {"DATABASE_URL": postgres_url, "REDIS_URL": redis_url}

    assert start(**given).wait(DEADLINE_SECONDS) == 1

    assert "SECRET_KEY" in (project / "output").read_text()
    assert not (project / ".data").exists()


def test_an_unreachable_database_is_reported(
    project: Path, start: Callable[..., "subprocess.Popen[str]"], redis_url: str
) -> None:
    absent = f"postgresql://postgres@127.0.0.1:{free_port()}/allweather"

    assert start(DATABASE_URL=absent, REDIS_URL=redis_url, SECRET_KEY="k" * 32).wait(DEADLINE_SECONDS) == 1

    assert "The database does not answer" in (project / "output").read_text()


def test_missing_variables_are_added_to_the_environment(tmp_path: Path, redis_url: str) -> None:
    given = {"DATA_DIR": str(tmp_path), "REDIS_URL": redis_url, "SECRET_KEY": "", "PORT": "8123"}

    with complete_environment(given) as (environment, servers):
        psycopg2.connect(environment["DATABASE_URL"]).close()

    assert [server.title for server in servers] == ["PostgreSQL"]
    assert environment["REDIS_URL"] == redis_url
    assert environment["APP_ENV"] == "development"
    assert environment["SECRET_KEY"] == (tmp_path / "secret_key").read_text()
    assert environment["ATTACHMENT_DIR"] == str(tmp_path / "attachments")
    assert environment["PUBLIC_URL"] == "http://127.0.0.1:8123"


def test_servers_that_already_run_are_used(tmp_path: Path, postgres_url: str) -> None:
    with (
        EmbeddedRedis(tmp_path / "redis", durable=False) as redis,
        complete_environment({"DATA_DIR": str(tmp_path), "DATABASE_URL": postgres_url}) as (environment, started),
    ):
        assert started == []
        assert environment["REDIS_URL"] == redis.url
