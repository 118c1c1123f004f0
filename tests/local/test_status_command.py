"""`python -m core status` prints the state of the installation."""

import json

import pytest
from redis import Redis

from core.activity import Activity
from core.heartbeat import Heartbeat
from core.services.processes import Identity
from tests.local.test_commands import Command, command

__all__ = ["command"]
pytestmark = pytest.mark.usefixtures("database")


def test_what_is_bad_is_printed_with_advice(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    Heartbeat(Identity("worker", "worker"), Activity()).beat()

    code = command("status")

    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert code == 1
    assert lines[0][:2] == ["ok", "worker"]
    assert ["ok", "processes.worker", "1", "count"] in lines
    assert ["bad", "processes.beat", "0", "count"] in [line[:4] for line in lines]
    assert all(line[4] for line in lines if line[0] == "bad")


def test_the_exit_code_of_a_good_state_is_0(command: Command, redis: Redis, capsys: pytest.CaptureFixture[str]) -> None:
    for kind in ("web", "worker", "beat"):
        Heartbeat(Identity(kind, kind), Activity()).beat()

    assert command("status", "--json") == 0

    found = json.loads(capsys.readouterr().out)
    assert (found["state"], len(found["processes"])) == ("ok", 3)


def test_redis_may_be_named_by_sentinels(
    command: Command, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REDIS_URL", f"redis+sentinel://127.0.0.1:{unused_tcp_port}/primary/0")

    assert command("status") == 1

    assert "bad\tredis.available\t0\tcount" in capsys.readouterr().out
