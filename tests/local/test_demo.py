"""`allweather demo`, with real servers and a simple replacement for the processes of the Procfile."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import psycopg2
import pytest

from core.local.embedded.environment import complete_environment
from core.local.embedded.process import running_url
from core.local.embedded.servers import EmbeddedPostgres
from core.migrations import migrate
from core.security import verify_password
from tests.local.project import copy_project
from tests.processes import DEADLINE_SECONDS, eventually, free_port


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project with only a simple web process, which writes its environment into a file."""
    return copy_project(tmp_path)


class Demo:
    """One run of the demonstration, until Ctrl-C."""

    def __init__(self, project: Path, **environment: str) -> None:
        self._project = project
        self._environment = environment

    def __enter__(self) -> Self:
        (self._project / "environment").unlink(missing_ok=True)
        kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "TMPDIR"}}
        ports = {"PORT": str(free_port()), "FLOWER_PORT": str(free_port())}
        with (self._project / "output").open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "core.cli", "demo"],
                cwd=self._project,
                env={**kept, **ports, **self._environment},
                stdout=output,
                stderr=output,
            )
        eventually(lambda: self.process.poll() is not None or "Password" in self.output)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGINT)
        self.code = self.process.wait(DEADLINE_SECONDS)

    @property
    def output(self) -> str:
        return (self._project / "output").read_text()

    @property
    def password(self) -> str:
        found = re.search(r"Sign in as  ada@example.com\n    Password    (\S+)\n", self.output)
        assert found is not None, self.output
        return found.group(1)

    @property
    def environment(self) -> dict[str, Any]:
        """The environment of the web process."""
        document: dict[str, Any] = json.loads((self._project / "environment").read_text())
        return document


def test_the_demonstration_runs_twice_with_the_same_data(project: Path) -> None:
    with Demo(project, DATABASE_URL="postgresql://somewhere/else", SMTP_HOST="mail.example.com") as first:
        environment = first.environment
        with psycopg2.connect(environment["DATABASE_URL"]) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT password_hash, (SELECT count(*) FROM tasks) FROM users WHERE username = 'ada'")
            password_hash, tasks = cursor.fetchone()
        password = first.password
        with complete_environment({"DATA_DIR": str(project / ".demo")}) as (found, started):
            assert (found["OPEN_METEO_URL"], started) == (environment["OPEN_METEO_URL"], [])
        with Demo(project) as third:
            assert "already runs" in third.output
    assert running_url(project / ".demo" / "weather") is None
    with Demo(project) as second:
        assert second.password == password

    assert (first.code, second.code) == (0, 0)
    assert (verify_password(password, password_hash), tasks) == (True, 500)
    assert environment["OPEN_METEO_URL"].startswith("http://127.0.0.1:")
    assert "SMTP_HOST" not in environment
    assert (project / ".demo" / "demo_password").stat().st_mode & 0o777 == 0o600


def test_a_directory_with_other_data_is_refused(project: Path) -> None:
    with EmbeddedPostgres(project / "data" / "postgresql", durable=False) as server:
        migrate(server.url)
        with psycopg2.connect(server.url) as connection:
            connection.cursor().execute("INSERT INTO users (username, password_hash) VALUES ('alice', '-')")

    with Demo(project, DATA_DIR="data") as refused:
        refused.process.wait(DEADLINE_SECONDS)

    assert refused.code == 1
    assert "no demonstration" in refused.output
