"""Flower, as a real process: in production it needs a login."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from core.config import Settings
from tests.polling import wait_until
from worker.flower import refuse_without_login

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(environ: dict[str, str], unused_tcp_port: int) -> Iterator[Start]:
    """Return a function that starts Flower with further variables."""
    started: list[subprocess.Popen[str]] = []

    def run(**variables: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "celery", "--app", "worker.app", "flower", f"--port={unused_tcp_port}"]
        process = subprocess.Popen(  # noqa: S603 - the command is our own.
            command, cwd=ROOT, env=environ | variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def test_in_production_it_does_not_start_without_a_login(start: Start) -> None:
    process = start(APP_ENV="production")

    _, error = process.communicate(timeout=START_SECONDS)

    assert process.returncode == 1
    assert error.startswith("Flower does not start in production without a login. Set FLOWER_BASIC_AUTH")


@pytest.mark.parametrize("logins", ["", "ada:", ":secret", "ada:secret,bob"])
def test_a_login_without_a_name_or_a_password_is_none(
    logins: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["celery", "flower"])
    in_production = settings.model_copy(update={"app_env": "production"})

    with pytest.raises(SystemExit, match=r"^Flower does not start"):
        refuse_without_login(in_production, {"FLOWER_BASIC_AUTH": logins})


def test_in_production_only_the_login_opens_it(start: Start, unused_tcp_port: int) -> None:
    start(APP_ENV="production", FLOWER_BASIC_AUTH="ada:correct horse battery")
    url = f"http://127.0.0.1:{unused_tcp_port}"

    def is_up() -> bool:
        with suppress(requests.ConnectionError):
            return requests.get(f"{url}/healthcheck", timeout=10).ok
        return False

    wait_until(is_up, START_SECONDS)
    logins = [None, ("ada", "wrong"), ("ada", "correct horse battery")]

    assert [requests.get(f"{url}/workers", auth=login, timeout=10).status_code for login in logins] == [401, 401, 200]
