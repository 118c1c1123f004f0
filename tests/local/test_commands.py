"""The command line for operators, with real servers given by the environment."""

import sys
from collections.abc import Callable

import pytest

from core import db, events
from core.__main__ import main
from core.config import Settings
from core.models.account import User
from core.models.audit import AuditEntry
from core.policy import Actor
from core.security import TokenIssuer, verify_password
from core.services import accounts, analytics, password_resets
from core.services.analytics import read_figures
from tests.builders import create_task
from tests.sql import execute

pytestmark = pytest.mark.usefixtures("database")
Command = Callable[..., int]


@pytest.fixture
def command(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Return a function that runs `python -m core …` in this process and returns its exit code."""

    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["core", *arguments])
        db.disconnect()
        return main()

    return run


def test_migrating_an_up_to_date_database_does_nothing(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("migrate") == 0

    assert capsys.readouterr().out == "nothing to migrate\n"


def test_an_admin_is_created_with_the_password_of_the_environment(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADMIN_PASSWORD", "long enough to be one")

    assert command("admin", "--email", "ada@example.com") == 0

    assert [(user.email, user.role) for user in User.select()] == [("ada@example.com", "admin")]
    (password_hash,) = (user.password_hash for user in User.select())
    assert verify_password("long enough to be one", password_hash)


def test_an_admin_is_created_with_a_password_from_the_prompt(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADMIN_EMAIL", "ada@example.com")
    monkeypatch.setattr("getpass.getpass", lambda _prompt: "long enough to be one")

    assert command("admin") == 0
    assert User.select().count() == 1


@pytest.mark.parametrize(
    ("arguments", "password", "complaint"),
    [
        (["admin"], "long enough to be one", "--email"),
        (["admin", "--email", "new@example.com"], "short", "8 to 1024"),
        (["admin", "--email", "alice@example.com"], "long enough to be one", "--promote"),
        (["admin", "--email", "nobody@example.com", "--promote"], "", "no account"),
    ],
)
def test_a_failed_command_prints_one_line_and_returns_1(
    arguments: list[str],
    password: str,
    complaint: str,
    command: Command,
    alice: Actor,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("ADMIN_PASSWORD", password)
    monkeypatch.setattr("getpass.getpass", lambda _prompt: "")

    assert command(*arguments) == 1

    assert complaint in capsys.readouterr().err
    assert [user.role for user in User.select()] == ["user"]


def test_an_account_is_promoted_with_the_promote_option(command: Command, alice: Actor) -> None:
    assert command("admin", "--email", "alice@example.com", "--promote") == 0

    assert [user.role for user in User.select()] == ["admin"]


@pytest.mark.parametrize("is_verified", [True, False])
def test_the_operator_is_told_if_the_email_of_the_new_admin_was_never_confirmed(
    is_verified: bool, command: Command, alice: Actor, capsys: pytest.CaptureFixture[str]
) -> None:
    if not is_verified:
        with db.unit_of_work():
            execute("UPDATE users SET email_verified_at = NULL")

    command("admin", "--email", "alice@example.com", "--promote")

    assert ("Nobody has confirmed this email" in capsys.readouterr().out) is not is_verified


@pytest.mark.parametrize("name", [["--email", "alice@example.com"], ["--username", "Alice"]])
def test_the_link_for_a_new_password_is_printed(
    name: list[str], command: Command, alice: Actor, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("reset-password", *name) == 0

    *_, link = capsys.readouterr().out.splitlines()
    address, _, token = link.partition("?token=")
    issuer = TokenIssuer.from_settings(settings)
    assert address == "http://127.0.0.1:8000/api/v1/auth/password/reset"
    assert password_resets.check_token(token, issuer).user_id == alice.user_id
    assert [entry.action for entry in AuditEntry.select().order_by(AuditEntry.id)][-1] == "password.reset_requested"


def test_the_printed_link_proves_no_address(
    command: Command, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    accounts.register(username="eve", email="alice@example.com", full_name=None, password_hash="-")
    assert command("reset-password", "--username", "eve") == 0
    token = capsys.readouterr().out.split("?token=")[1].strip()

    password_resets.reset_password(token, "-", "127.0.0.1", TokenIssuer.from_settings(settings))

    assert User.get().email_verified_at is None


@pytest.mark.parametrize("name", ["nobody@example.com", "bob@example.com"])
def test_there_is_no_link_for_an_unknown_or_disabled_account(
    name: str, command: Command, bob: Actor, capsys: pytest.CaptureFixture[str]
) -> None:
    with db.unit_of_work():
        execute("UPDATE users SET is_active = false")

    assert command("reset-password", "--email", name) == 1
    assert "no active account" in capsys.readouterr().err


def test_wrong_analytics_are_corrected_by_a_rebuild(command: Command, alice: Actor) -> None:
    create_task(alice)
    analytics.fold()
    with db.unit_of_work():
        execute("UPDATE analytics_rollups SET tasks = 99")

    assert command("rebuild-analytics") == 0

    assert read_figures(alice).by_status["todo"] == 1


def test_an_invalid_environment_prints_one_line(
    command: Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SECRET_KEY", "too short")

    assert command("migrate") == 1
    assert "SECRET_KEY" in capsys.readouterr().err


def test_an_address_is_confirmed_by_the_operator(command: Command, alice: Actor) -> None:
    with db.unit_of_work():
        execute("UPDATE users SET email_verified_at = NULL")

    assert command("confirm-email", "--email", "alice@example.com") == 0
    assert User.get().email_verified_at is not None
    assert command("confirm-email", "--email", "bob@example.com") == 1


def test_accounts_without_a_normal_form_of_their_names_are_listed(
    command: Command, alice: Actor, bob: Actor, capsys: pytest.CaptureFixture[str]
) -> None:
    with db.unit_of_work():
        execute("UPDATE users SET username_key = NULL WHERE id = %s", (bob.user_id,))

    assert command("list-old-names") == 0

    assert capsys.readouterr().out == f"{bob.user_id}\tbob\tbob@example.com\n"


def test_an_account_is_disabled_with_its_sessions_and_enabled_again(command: Command, alice: Actor) -> None:
    assert command("disable", "--email", "alice@example.com") == 0
    disabled = User.get().is_active
    assert command("enable", "--username", "alice") == 0

    assert (disabled, User.get().is_active) == (False, True)
    assert execute("SELECT count(*) FROM sessions WHERE revoked_at IS NULL").fetchone() == (0,)
    assert [entry.action for entry in AuditEntry.select()].count("account.changed") == 2


def test_the_last_admin_and_nobody_cannot_be_disabled(
    command: Command, ada: Actor, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("disable", "--username", "ada") == 1
    assert "last admin" in capsys.readouterr().err
    assert command("disable", "--username", "nobody") == 1
    assert "no such account" in capsys.readouterr().err


def test_after_a_restore_the_numbers_of_lost_events_are_skipped(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    before = events.bounds().last

    assert command("skip-event-numbers") == 0

    assert events.bounds().last == before + 1_000_000
    assert str(before + 1_000_000) in capsys.readouterr().out


def test_the_weather_provider_is_called_again_at_once(command: Command, database: None) -> None:
    execute("INSERT INTO weather_calls (provider, failures, open_until) VALUES ('x', 9, now() + interval '5 minutes')")

    assert command("resume-weather") == 0

    assert execute("SELECT failures, open_until FROM weather_calls").fetchall() == [(0, None)]
