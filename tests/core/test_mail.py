"""Mails: sent once by however many workers, retried, given up, and ended by one click."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis
from structlog.testing import capture_logs

from core.config import Settings
from core.db import unit_of_work
from core.jobs import JobContext
from core.policy import Actor
from core.security import TokenIssuer
from core.services import mail, notifications, tasks
from core.services.notifications import KINDS
from tests.doubles.smtp import MailServer
from tests.job_context import job_context
from tests.sql import execute
from tests.threads import at_once

ATTEMPTS = 3
pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def server(unused_tcp_port: int) -> Iterator[MailServer]:
    with MailServer(unused_tcp_port) as running:
        yield running


@pytest.fixture
def context(settings: Settings, redis: Redis, server: MailServer) -> JobContext:
    return job_context(configured(settings, server.port), redis)


def configured(settings: Settings, port: int) -> Settings:
    return settings.model_copy(
        update={
            "smtp_host": "127.0.0.1",
            "smtp_port": port,
            "smtp_security": "none",
            "smtp_timeout": 5.0,
            "mail_attempts": ATTEMPTS,
            "mail_from": "Allweather <noreply@example.com>",
            "public_url": "https://tasks.example.com",
        }
    )


@pytest.fixture
def waiting(alice: Actor, bob: Actor) -> int:
    """A notification of Bob's that waits to be mailed."""
    tasks.create_task(
        alice,
        {"title": "Clean the\ngutters — “now”", "assignee_id": bob.user_id, "due_at": "2026-05-01T09:00:00+00:00"},
    )
    (notification_id,) = execute("SELECT id FROM notifications").fetchone()
    return int(notification_id)


def status() -> Any:
    return execute("SELECT mail_status, mail_attempts FROM notifications").fetchone()


def skip_the_wait() -> None:
    with unit_of_work():
        execute("UPDATE notifications SET mail_next_attempt_at = now()")


def test_a_mail_says_what_happened_and_how_to_end_such_mails(
    waiting: int, context: JobContext, server: MailServer, bob: Actor, settings: Settings
) -> None:
    mail.send(context, waiting)

    (sent,) = server.mails
    assert server.recipients == ["bob@example.com"]
    assert sent["Subject"] == "Alice gave you the task “Clean the gutters — “now””."
    assert sent["Message-ID"] == f"<notification-{waiting}@example.com>"
    assert sent["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    (token,) = re.findall(r"^<https://tasks\.example\.com/\S+/unsubscribe\?token=(\S+)>$", sent["List-Unsubscribe"])
    issuer = TokenIssuer(settings.secret_key.get_secret_value(), 60)
    assert issuer.read_unsubscribe_token(token, KINDS) == (bob.user_id, "assigned")
    assert f"\r\nList-Unsubscribe: {sent['List-Unsubscribe']}\r\n".encode() in server.contents[0]
    body = sent.get_content()
    assert "Due: Friday, May 1, 2026, 9:00\u202fAM (UTC)" in body
    assert "https://tasks.example.com/api/v1/tasks/" in body
    assert token in body
    assert status() == ("sent", 1)


def test_the_deadline_is_told_in_the_readers_language_and_zone(
    waiting: int, context: JobContext, server: MailServer, bob: Actor
) -> None:
    with unit_of_work():
        execute("UPDATE users SET locale = 'de-AT', timezone = 'Asia/Tokyo' WHERE id = %s", (bob.user_id,))

    mail.send(context, waiting)

    (sent,) = server.mails
    assert sent["Content-Language"] == "de"
    assert "Fällig: Freitag, 1. Mai 2026, 18:00 (Asia/Tokyo)" in sent.get_content()


def test_however_many_try_it_is_sent_once(waiting: int, context: JobContext, server: MailServer) -> None:
    at_once(lambda _: mail.send(context, waiting), 24)

    assert len(server.mails) == 1
    assert status() == ("sent", 1)


def test_a_server_that_is_away_is_tried_again_and_then_given_up(
    waiting: int, settings: Settings, redis: Redis, unused_tcp_port: int
) -> None:
    context = job_context(configured(settings, unused_tcp_port), redis)
    with capture_logs() as lines:
        for _ in range(3):
            mail.send(context, waiting)
            mail.send(context, waiting)
            skip_the_wait()

    assert status() == ("dead", 3)
    assert [line["event"] for line in lines] == ["mail_put_off", "mail_put_off", "mail_given_up"]
    assert {line["reason"] for line in lines} == {"ConnectionRefusedError"}


def test_a_mail_that_was_put_off_is_found_and_sent_later(waiting: int, context: JobContext, server: MailServer) -> None:
    server.refusal = "451 come back later"
    mail.send(context, waiting)
    assert status() == ("pending", 1)
    server.refusal = None
    with unit_of_work():
        execute("UPDATE notifications SET mail_next_attempt_at = now() - interval '10 seconds'")

    assert mail.WAITING.overdue(10) == [waiting]
    mail.send(context, waiting)

    assert status() == ("sent", 2)
    assert mail.WAITING.overdue(10) == []


def test_a_mail_that_is_refused_for_good_is_given_up_and_can_be_revived(
    waiting: int, context: JobContext, server: MailServer
) -> None:
    server.refusal = "550 no such mailbox"
    mail.send(context, waiting)
    assert status() == ("dead", 1)

    server.refusal = None
    assert mail.revive_mails() == 1
    mail.send(context, waiting)

    assert status() == ("sent", 1)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE users SET unwanted_mail = '{assigned}'",
        "UPDATE users SET is_active = false",
        "UPDATE users SET email = NULL",
    ],
)
def test_who_wants_it_no_more_gets_it_no_more(
    change: str, waiting: int, context: JobContext, server: MailServer
) -> None:
    with unit_of_work():
        execute(change)

    mail.send(context, waiting)

    assert (server.mails, status()[0]) == ([], None)


def test_without_a_mail_server_nothing_waits(waiting: int, settings: Settings, redis: Redis) -> None:
    context = job_context(settings, redis)

    mail.send(context, waiting)
    before = status()
    mail.sweep(context)

    assert (before, status()) == (("pending", 0), (None, 0))


def test_a_worker_that_dies_after_its_claim_leaves_the_mail_to_the_next_attempt(
    waiting: int, context: JobContext, server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(context.mail_server, "send", lambda _: (_ for _ in ()).throw(SystemExit))
        pytest.raises(SystemExit, mail.send, context, waiting)
    assert (status(), mail.WAITING.overdue(10)) == (("pending", 1), [])

    skip_the_wait()
    mail.send(context, waiting)

    assert (len(server.mails), status()) == (1, ("sent", 2))


def test_a_mail_whose_every_attempt_kills_its_worker_is_given_up(
    waiting: int, context: JobContext, server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(context.mail_server, "send", lambda _: (_ for _ in ()).throw(SystemExit))
        for _ in range(ATTEMPTS):
            pytest.raises(SystemExit, mail.send, context, waiting)
            running = status()
            mail.send(context, waiting)
            assert status() == running
            skip_the_wait()

    mail.send(context, waiting)

    assert (server.mails, status()) == ([], ("dead", ATTEMPTS))


def test_a_mail_server_gets_its_password_only_over_tls(
    settings: Settings, redis: Redis, server: MailServer, waiting: int
) -> None:
    """The double offers no STARTTLS, so nothing is sent where the settings insist on it."""
    insisting = configured(settings, server.port).model_copy(update={"smtp_security": "starttls"})
    context = job_context(insisting, redis)

    mail.send(context, waiting)

    assert (server.mails, status()) == ([], ("pending", 1))


def test_the_link_of_one_kind_ends_no_other(bob: Actor) -> None:
    notifications.change_mail_preferences(bob.user_id, {"assigned": False})

    assert [kind for kind, wanted in notifications.mail_preferences(bob.user_id).items() if not wanted] == ["assigned"]
