"""The operator's commands of `allweather`, with real servers given by the environment."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from redis import Redis

from core import db
from core.cli.__main__ import main
from core.cli.output import plain
from core.events import bounds, without_log_lines
from core.models.account import User
from core.policy import Actor
from core.security import verify_password
from core.services.publication import publish
from tests.builders import create_task
from tests.doubles.weather import WeatherServer

pytestmark = pytest.mark.usefixtures("database")
ROOT = Path(__file__).resolve().parents[2]
Command = Callable[..., int]


@pytest.fixture
def allweather(environ: dict[str, str]) -> Command:
    """Return a function that runs `allweather …` in this process and returns its exit code."""

    def run(*arguments: str, **variables: str) -> int:
        db.disconnect()
        return main(arguments, environ | variables)

    return run


def test_the_examination_returns_its_worst_level(
    allweather: Command, weather: WeatherServer, capsys: pytest.CaptureFixture[str]
) -> None:
    urls = {"OPEN_METEO_URL": weather.url, "OPEN_METEO_GEOCODING_URL": weather.url}

    assert allweather("doctor", "--json", **urls) == 1
    assert allweather("doctor", SECRET_KEY="short", **urls) == 2

    lines = capsys.readouterr().out.splitlines()
    document = json.loads(lines[0])
    assert document["level"] == "warn"
    assert {finding["subject"] for finding in document["findings"]} >= {"postgresql", "redis", "migrations", "storage"}
    assert any("SECRET_KEY" in line for line in lines[1:])


def test_an_admin_is_made(
    allweather: Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    password = {"ADMIN_PASSWORD": "long enough to be one"}

    assert allweather("admin", "--email", "ada@example.com", "--json", **password) == 0
    assert allweather("admin", "--email", "ada@example.com", **password) == 1

    out, err = capsys.readouterr()
    assert json.loads(out) == {"done": ["ada@example.com has an admin account now"]}
    assert "--promote" in err
    assert [user.role for user in User.select()] == ["admin"]


def test_a_link_for_a_new_password_is_one_line(
    allweather: Command, alice: Actor, capsys: pytest.CaptureFixture[str]
) -> None:
    assert allweather("reset-password", "alice@example.com") == 0
    assert allweather("reset-password", "nobody@example.com") == 1

    out, err = capsys.readouterr()
    assert out.splitlines()[-1].startswith("http://127.0.0.1:8000/api/v1/auth/password/reset?token=")
    assert "no active account" in err


def test_wrong_usage_returns_2(allweather: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert allweather("nothing-like-this") == 2
    assert allweather("reset-password") == 2

    assert "No such command" in capsys.readouterr().err


def test_a_server_that_is_down_is_one_line(
    allweather: Command, unused_tcp_port: int, use_database: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    assert allweather("reset-password", "ada", DATABASE_URL=f"postgresql://x@127.0.0.1:{unused_tcp_port}/x") == 1
    use_database()

    assert capsys.readouterr().err.startswith("PostgreSQL cannot be reached")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_shells_can_complete(shell: str, allweather: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert allweather("completion", shell) == 0

    assert "_ALLWEATHER_COMPLETE" in capsys.readouterr().out


def test_the_api_is_described_without_any_setting(tmp_path: Path) -> None:
    file = tmp_path / "openapi.json"

    assert main(["openapi", "--output", str(file)], environ={}) == 0

    description = json.loads(file.read_bytes())
    assert description["openapi"].startswith("3.1")
    assert "/api/v1/tasks" in description["paths"]


def test_texts_of_other_people_cannot_steer_the_terminal() -> None:
    assert plain("a\x1b[2Jb\r\n[red]c").plain == "a�[2Jb��[red]c"


def test_data_are_written_into_an_empty_database_only(allweather: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert allweather("seed", "--json") == 0
    assert allweather("seed") == 1
    assert allweather("seed", "--force") == 1

    out, err = capsys.readouterr()
    document = json.loads(out)
    assert document["written"]["tasks"] == 500
    assert "--force" in err
    assert "One of the people is there already" in err
    assert verify_password(document["password"], User.get(User.username == "ada").password_hash)


def test_a_backup_is_made_and_restored(
    allweather: Command, alice: Actor, tmp_path: Path, capsys: pytest.CaptureFixture[str], environ: dict[str, str]
) -> None:
    archive, secret = tmp_path / "allweather.backup", tmp_path / "secret"

    assert allweather("backup", str(archive), "--with-secret", str(secret)) == 0
    assert allweather("backup", str(archive)) == 1
    assert allweather("backup", str(tmp_path / "both"), "--with-secret", str(tmp_path / "." / "both")) == 1
    assert allweather("restore", str(archive)) == 1
    assert allweather("restore", str(tmp_path / "nothing")) == 1

    out, err = capsys.readouterr()
    assert str(archive) in out
    assert (secret.read_text(), secret.stat().st_mode & 0o777) == (environ["SECRET_KEY"], 0o600)
    assert [word for word in ("exists", "a file of its own", "has data", "cannot be read") if word not in err] == []


def test_events_are_shown_with_their_content_only_as_json(
    allweather: Command, alice: Actor, redis: "Redis[bytes]", capsys: pytest.CaptureFixture[str]
) -> None:
    with without_log_lines():
        create_task(alice, title="Clean the gutters")
        create_task(alice, title="Sail")
    publish(redis, 100, lambda _: None)
    last = bounds().last

    assert allweather("events", "tail", "--no-follow") == 0
    assert allweather("events", "tail", "--no-follow", "--json", "--since", str(last - 1)) == 0
    assert allweather("events", "tail", "--no-follow", "--type", "task.deleted") == 0

    *lines, as_json = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [str(last - 1), str(last)]
    assert not any("gutters" in line for line in lines)
    assert json.loads(as_json)["data"]["title"] == "Sail"


def test_further_events_are_shown_until_it_is_interrupted(
    environ: dict[str, str], alice: Actor, redis: "Redis[bytes]"
) -> None:
    command = [sys.executable, "-m", "core.cli", "events", "tail", "--json", "--since", str(bounds().last)]
    with subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE) as process:  # noqa: S603 - our own.
        create_task(alice)
        publish(redis, 100, lambda _: None)
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["type"] == "task.created"
        process.send_signal(signal.SIGINT)

    assert process.returncode == 130


def test_a_job_is_sent_to_its_queue_and_listed(
    allweather: Command, redis: "Redis[bytes]", capsys: pytest.CaptureFixture[str]
) -> None:
    assert allweather("jobs", "run", "mail.sweep") == 0
    assert allweather("jobs", "list", "--json") == 0
    assert allweather("jobs", "list") == 0
    assert allweather("jobs", "run", "weather.enrich") == 2

    out = capsys.readouterr().out
    listed = json.loads(next(line for line in out.splitlines() if line.startswith("[")))
    assert [kind["name"] for kind in listed if kind["messages"]] == ["mail.sweep"]
    assert redis.llen("maintenance") == 1
