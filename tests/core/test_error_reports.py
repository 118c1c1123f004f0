"""Unexpected errors of all processes arrive at a server for reports, once and without what people have written."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core import __version__
from tests.doubles.sentry import SentryServer

PROJECT = Path(__file__).resolve().parents[2]
SECRET = "a-text-that-only-its-owner-may-read"

# A request to a responder that has a defect, with the secret in its headers, its variables and its errors.
WEB = f'''
import os
from falcon.testing import TestClient
from api.app import create_app
from api.http.operation import operation
from api.ops.health import Liveness
from api.ops.schemas import Health
from core import logs
from core.config import Settings

@operation(200, Health, tag="operations", public=True)
async def fail(self) -> dict[str, str]:
    """Fail."""
    local = "{SECRET}"
    try:
        raise LookupError(local)
    except LookupError as error:
        raise RuntimeError(local) from error

Liveness.on_get = fail
settings = Settings.from_environ(os.environ)
logs.configure(settings, "web", in_background=True)
client = TestClient(create_app(settings))
response = client.simulate_get("/health", headers={{"Authorization": "{SECRET}"}})
assert response.status_code == 500, response.text
logs.finish()
'''

# A job that has a defect, run as by a worker.
WORKER = f"""
import os
from worker.app import app, settings
from core import logs
logs.configure(settings, "worker")

def fail(*_):
    local = "{SECRET}"
    raise RuntimeError(local)

task = app.tasks["tokens.purge"]
task.run = fail
task.apply(headers={{"request_id": "the-request"}})
"""

# A condition that has a defect, asked by beat.
BEAT = f"""
from worker import beat
from worker.app import app, settings
from core import jobs, logs
logs.configure(settings, "beat")

def fail(*_):
    local = "{SECRET}"
    raise RuntimeError(local)

jobs.Job.has_something_to_do = fail
scheduler = beat.SingleBeatScheduler(app=app, lazy=True)
scheduler._has_something_to_do("tokens.purge")
scheduler._has_something_to_do("tokens.purge")
"""


@pytest.fixture
def sentry() -> Iterator[SentryServer]:
    with SentryServer() as server:
        yield server


def run(script: str, environ: dict[str, str], **more: str) -> str:
    """Run a script as a process of its own, and return what it has written to its log."""
    result = subprocess.run(  # noqa: S603 - this interpreter and a script above.
        [sys.executable, "-c", script],
        cwd=PROJECT,
        env=os.environ | environ | {"LOG_FILE": "", "APP_ENV": "production"} | more,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return result.stdout


@pytest.mark.parametrize(
    ("process", "script", "event"),
    [
        ("web", WEB, "unhandled_exception"),
        ("worker", WORKER, "job"),
        ("beat", BEAT, "condition_unknown"),
    ],
)
def test_an_unexpected_error_is_reported_once_and_without_what_people_have_written(
    environ: dict[str, str], sentry: SentryServer, process: str, script: str, event: str
) -> None:
    log = run(script, environ, SENTRY_DSN=sentry.dsn)

    (report,) = sentry.reports
    assert report["tags"]["process"] == process
    assert report["tags"]["event"] == event
    assert report["release"] == f"allweather@{__version__}"
    assert report["environment"] == "production"
    assert report["exception"]["values"][-1]["type"] == "RuntimeError"
    assert report["exception"]["values"][-1]["stacktrace"]["frames"][-1]["function"] == "fail"
    assert report["tags"].get("request_id") or process == "beat"
    assert not any(SECRET in body for body in sentry.bodies)
    assert not any(environ["SECRET_KEY"] in body for body in sentry.bodies)
    assert log.count("Traceback") == 1 or process == "web"
    assert SECRET in log


def test_nothing_is_sent_and_the_library_is_not_imported_without_a_server(
    environ: dict[str, str], sentry: SentryServer
) -> None:
    script = f"{WORKER}\nimport sys\nassert not any(name.startswith('sentry_sdk') for name in sys.modules)"

    run(script, environ)

    assert sentry.bodies == []


def test_an_error_is_logged_although_the_server_cannot_be_reached(
    environ: dict[str, str], unused_tcp_port: int
) -> None:
    log = run(BEAT, environ, SENTRY_DSN=f"http://public@127.0.0.1:{unused_tcp_port}/42")

    assert "condition_unknown" in log
