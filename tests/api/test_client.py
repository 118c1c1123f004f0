"""The commands for people, and the client behind them, on a live server."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from redis import Redis

from core import db
from core.cli.__main__ import main
from core.client import live
from core.client.credentials import CredentialsFile, config_directory
from core.client.http import Client, LoginNeeded
from core.client.live import Listener
from core.models.account import Session, User
from core.models.task import Task
from core.policy import Actor
from core.services import sessions
from tests import forecasts
from tests.api.callers import LiveServer
from tests.api.realtime import publish
from tests.builders import PASSWORD, create_task, read_task
from tests.threads import in_parallel

ROOT = Path(__file__).resolve().parents[2]
Command = Callable[..., int]


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """The environment of a person."""
    return {"XDG_CONFIG_HOME": str(tmp_path)}


@pytest.fixture
def file(home: dict[str, str]) -> CredentialsFile:
    return CredentialsFile(config_directory(home))


@pytest.fixture
def client(file: CredentialsFile, live_server: LiveServer, alice: Actor) -> Client:
    """A client in which Alice has logged in."""
    made = Client(file, pause=lambda _: None)
    made.login(live_server.url, "alice", PASSWORD)
    return made


@pytest.fixture
def allweather(home: dict[str, str], live_server: LiveServer) -> Command:
    """Return a function that runs `allweather …` in this process and returns its exit code."""
    return lambda *arguments: main(arguments, home)


def log_in(allweather: Command, server: LiveServer, name: str = "alice") -> None:
    assert allweather("login", "--url", server.url, "--name", name, "--password", PASSWORD, "--json") == 0


def own_session(actor: Actor) -> int:
    """Return the newest session of an account, which is that of the login."""
    sessions_of_actor = Session.select().where(Session.user_id == actor.user_id)
    return max(session.id for session in sessions_of_actor)


def test_a_server_on_this_machine_is_not_asked_through_a_proxy(
    file: CredentialsFile, live_server: LiveServer, alice: Actor, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    for name in ("http_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{unused_tcp_port}")

    profile = Client(file, pause=lambda _: None).login(live_server.url, "alice", PASSWORD)

    assert profile["username"] == "alice"


def test_a_task_is_added_listed_and_done(
    allweather: Command, live_server: LiveServer, alice: Actor, capsys: pytest.CaptureFixture[str]
) -> None:
    with db.unit_of_work():
        User.update(timezone="Europe/Oslo").execute()
    log_in(allweather, live_server)
    capsys.readouterr()

    assert allweather("add", "Paint the fence", "--city", "Oslo", "--due", "2030-01-02 9:00") == 0
    task = Task.get()
    assert allweather("tasks") == 0
    assert allweather("done", str(task.id)) == 0
    assert allweather("tasks", "--json") == 0
    assert allweather("tasks", "--all", "--search", "fence", "--json") == 0

    # The server is in this process, and also writes to stdout.
    shown = [line for line in capsys.readouterr().out.splitlines() if "[info" not in line]
    *lines, open_tasks, all_tasks = shown
    assert task.due_at == datetime(2030, 1, 2, 8, tzinfo=UTC)
    assert lines[0] == f"{task.id}: Paint the fence, due Wed 02 Jan 2030 09:00"
    assert any("Paint the fence" in line and "Oslo" in line and "pending" in line for line in lines[1:-1])
    assert lines[-1] == f"{task.id}: Paint the fence is done."
    assert [len(json.loads(line)["items"]) for line in (open_tasks, all_tasks)] == [0, 1]


def test_a_day_without_a_time_is_a_deadline_without_a_time(
    allweather: Command, live_server: LiveServer, alice: Actor, capsys: pytest.CaptureFixture[str]
) -> None:
    log_in(allweather, live_server)
    capsys.readouterr()

    assert allweather("add", "Paint the fence", "--due", "2030-01-02") == 0
    # Where the zone is another one now, it is still the same day.
    with db.unit_of_work():
        User.update(timezone="America/Los_Angeles").execute()
    assert allweather("tasks") == 0

    task = Task.get()
    assert task.due_on == date(2030, 1, 2)
    added, _, listed = (line for line in capsys.readouterr().out.splitlines() if "[info" not in line)
    assert added == f"{task.id}: Paint the fence, due Wed 02 Jan 2030"
    assert "  Wed 02 Jan 2030  Paint the fence" in listed


def test_tasks_are_listed_with_what_is_expected_at_their_deadlines(
    allweather: Command,
    live_server: LiveServer,
    alice: Actor,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    place_id = forecasts.create_place("Bergen")
    forecasts.create_outdoor_task(alice, place_id, title="Sail")
    forecasts.create_outdoor_task(alice, place_id, title="Row", weather_rule=None)
    forecasts.arrive(place_id, forecasts.forecast(gusts=forecasts.BAD, temperature=None))
    log_in(allweather, live_server)
    capsys.readouterr()

    assert allweather("tasks") == 0

    lines = capsys.readouterr().out.splitlines()
    (row, sail) = (next(line for line in lines if f" {title} " in line) for title in ("Row", "Sail"))
    assert sail.rstrip().endswith("Sail   Bergen  warned, overcast, 10 % rain")
    assert row.rstrip().endswith("Row    Bergen  overcast, 10 % rain")


def test_a_task_is_added_with_the_chance_of_rain_that_it_bears(
    allweather: Command, live_server: LiveServer, alice: Actor
) -> None:
    log_in(allweather, live_server)

    assert allweather("add", "Sail", "--city", "Oslo", "--rain-below", "0") == 0
    assert allweather("add", "Sail", "--rain-below", "101") == 2

    assert [task.weather_rule for task in Task.select()] == [{"max_rain_probability": 0}]


def test_the_file_with_the_login_is_private(client: Client, tmp_path: Path) -> None:
    assert {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*") if path.is_file()} == {0o600}
    assert (tmp_path / "allweather").stat().st_mode & 0o777 == 0o700


def test_a_logout_ends_the_session_and_forgets_the_login(
    allweather: Command, live_server: LiveServer, alice: Actor, file: CredentialsFile
) -> None:
    log_in(allweather, live_server)
    session = own_session(alice)

    assert allweather("logout") == 0

    assert file.load() is None
    assert Session.get_by_id(session).revoked_at is not None


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["tasks"], "allweather login"),
        (["login", "--url", "http://tasks.example.com", "--name", "a", "--password", "b"], "https://"),
    ],
)
def test_without_a_login_nothing_is_sent(
    arguments: list[str],
    complaint: str,
    allweather: Command,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(requests.Session, "request", lambda *_, **__: pytest.fail("A request was sent."))

    assert allweather(*arguments) == 1
    assert complaint in capsys.readouterr().err


def test_refusals_of_the_server_are_told(
    allweather: Command, live_server: LiveServer, alice: Actor, mallory: Actor, capsys: pytest.CaptureFixture[str]
) -> None:
    task_id = create_task(alice)
    login = ("login", "--url", live_server.url, "--name", "mallory", "--password")

    assert allweather(*login, "wrong") == 1
    log_in(allweather, live_server, "mallory")
    assert allweather("done", str(task_id)) == 1
    assert allweather("add", "  ") == 1
    assert allweather("add", "Sail", "--due", "soon") == 2

    err = capsys.readouterr().err
    assert [word for word in (f"{task_id}: ", "title: ", "is no date") if word not in err] == []
    assert read_task(alice, task_id)["status"] == "todo"


def test_an_expired_token_is_refreshed(client: Client, file: CredentialsFile) -> None:
    before = file.load()
    assert before is not None
    file.store(type(before)(before.url, before.access_token, before.refresh_token, expires_at=0))

    assert client.request("GET", "/auth/me")["username"] == "alice"

    after = file.load()
    assert after is not None
    assert after.refresh_token != before.refresh_token


def test_commands_at_the_same_time_refresh_once(client: Client, file: CredentialsFile) -> None:
    before = file.load()
    assert before is not None

    renewed = in_parallel(lambda _: Client(file).refreshed(before), 4)

    assert len({each.access_token for each in renewed} - {before.access_token}) == 1


def test_a_session_that_was_ended_needs_a_new_login(client: Client, file: CredentialsFile, alice: Actor) -> None:
    sessions.revoke_session(alice, own_session(alice))

    with pytest.raises(LoginNeeded):
        client.refreshed(file.load())  # type: ignore[arg-type]  # the fixture has logged in.

    assert file.load() is None


def test_a_lost_response_creates_nothing_twice(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    send, responses = requests.Session.request, []

    def lose_the_first_response(*arguments: Any, **options: Any) -> requests.Response:
        responses.append(send(*arguments, **options))
        if len(responses) == 1:
            raise requests.ConnectionError
        return responses[-1]

    monkeypatch.setattr(requests.Session, "request", lose_the_first_response)
    created = client.request("POST", "/tasks", {"title": "Clean the gutters"})

    assert [task.id for task in Task.select()] == [created["id"]]
    assert len(responses) == 2


def test_no_event_is_missed_or_doubled_when_the_connection_is_lost(
    client: Client, alice: Actor, redis: "Redis[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, told = [], []
    connect = live.connect

    def connect_and_keep(*arguments: Any, **options: Any) -> Any:
        opened.append(connect(*arguments, **options))
        return opened[-1]

    monkeypatch.setattr(live, "connect", connect_and_keep)
    frames = Listener(client, None, told.append, pause=lambda _: None).frames()
    assert next(frames)["type"] == "ready"
    create_task(alice, title="first")
    publish(redis)
    assert next(frames)["data"]["title"] == "first"

    opened[0].socket.shutdown(socket.SHUT_RDWR)
    create_task(alice, title="second")
    publish(redis)
    following = [next(frames) for _ in range(2)]

    assert [frame["type"] for frame in following] == ["ready", "task.created"]
    assert following[1]["data"]["title"] == "second"
    assert len(told) == 1


def test_a_listener_ends_with_its_session(client: Client, alice: Actor, redis: "Redis[bytes]") -> None:
    frames = Listener(client, None, print, pause=lambda _: None).frames()
    next(frames)

    sessions.revoke_session(alice, own_session(alice))
    publish(redis)

    with pytest.raises(LoginNeeded):
        next(frames)


def test_watching_shows_events_until_it_is_interrupted(
    client: Client, alice: Actor, home: dict[str, str], redis: "Redis[bytes]"
) -> None:
    command = [sys.executable, "-m", "core.cli", "watch", "--json"]
    with subprocess.Popen(command, cwd=ROOT, env=home, stdout=subprocess.PIPE) as process:  # noqa: S603 - our own.
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["type"] == "ready"
        create_task(alice)
        publish(redis)
        assert json.loads(process.stdout.readline())["type"] == "task.created"
        process.send_signal(signal.SIGINT)

    assert process.returncode == 130
