"""`python -m core work …` lists failed work, tries it again, and drops it."""

import json
from typing import Any

import pytest

from core.policy import Actor
from core.services import failed_work
from core.services.failed_work import Filter, Outcome
from tests.failures import failed_account_mail, failed_weather
from tests.local.test_commands import Command, command
from tests.sql import execute

__all__ = ["command"]
pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.local.work_commands.MOST_AT_ONCE", 1)


def left() -> int | None:
    return failed_work.list_failed_work(Filter(), None, 0, 1).total


def test_failed_work_is_listed_as_text_and_as_json(
    command: Command, alice: Actor, capsys: pytest.CaptureFixture[str]
) -> None:
    work = failed_weather(alice)
    failed_account_mail(alice)
    capsys.readouterr()

    assert command("work", "list", "--kind", "weather") == 0
    line, total = capsys.readouterr().out.splitlines()
    assert command("work", "list", "--kind", "weather", "--json") == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)

    assert line.split("\t")[:3] == ["weather", str(work.id), "given_up"]
    assert line.split("\t")[-1] == "the provider responds 500"
    assert total == "1 of 1"
    assert (document["total"], [item["id"] for item in document["items"]]) == (1, [work.id])


@pytest.mark.parametrize(("action", "recorded"), [("retry", "work.retried"), ("drop", "work.dropped")])
def test_named_work_is_changed_and_the_audit_log_has_it(
    action: str, recorded: str, command: Command, alice: Actor, capsys: pytest.CaptureFixture[str]
) -> None:
    works = [failed_weather(alice), failed_account_mail(alice)]
    capsys.readouterr()

    assert command("work", action, *(f"{kind}:{row_id}" for kind, row_id in works), "--json") == 0

    assert json.loads(capsys.readouterr().out) == {"changed": 2}
    assert left() == 0
    entries = execute("SELECT DISTINCT action, actor_id FROM audit_log WHERE action LIKE 'work.%%'").fetchall()
    assert entries == [(recorded, None)]


def test_all_that_matches_is_changed(command: Command, alice: Actor, capsys: pytest.CaptureFixture[str]) -> None:
    failed_weather(alice)
    failed_weather(alice, "Oslo")
    failed_account_mail(alice)
    capsys.readouterr()

    assert command("work", "retry", "--all", "--kind", "weather") == 0

    assert capsys.readouterr().out == "2 will be tried\n"
    assert left() == 1


def test_work_that_has_not_failed_is_reported_after_the_rest_was_changed(
    command: Command, alice: Actor, capsys: pytest.CaptureFixture[str]
) -> None:
    work = failed_weather(alice)
    capsys.readouterr()

    assert command("work", "drop", f"weather:{work.id}", "weather:999999999") == 1

    printed = capsys.readouterr()
    assert (printed.out, left()) == ("1 were dropped\n", 0)
    assert "1 of them have not failed" in printed.err


def test_a_filter_does_not_go_with_named_work(
    command: Command, alice: Actor, capsys: pytest.CaptureFixture[str]
) -> None:
    work = failed_weather(alice)

    assert command("work", "drop", f"weather:{work.id}", "--state", "waiting") == 1

    assert "--all" in capsys.readouterr().err
    assert left() == 1


@pytest.mark.parametrize("arguments", [["retry"], ["retry", "rain:7"], ["drop", "weather:x"], ["list", "--limit", "0"]])
def test_a_wrong_command_line_ends_with_code_2(arguments: list[str], command: Command) -> None:
    with pytest.raises(SystemExit) as ended:
        command("work", *arguments)

    assert ended.value.code == 2


def test_work_that_fails_again_meanwhile_is_not_tried_without_end(
    command: Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(failed_work, "retry_matching", lambda _actor, _which: Outcome({"weather": [1]}, remaining=2))

    assert command("work", "retry", "--all") == 0

    assert capsys.readouterr().out == "3 will be tried\n"
