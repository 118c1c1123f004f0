"""Mails: sent once even by many workers, retried, given up, and unsubscribed with one click."""

import re
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from redis import Redis
from structlog.testing import capture_logs

from core.config import Settings
from core.db import unit_of_work
from core.jobs import JobContext, JobRequest
from core.policy import Actor
from core.security import TokenIssuer
from core.services import delegation, failed_work, mail, notifications, publication, tasks
from core.services.failed_work import Filter
from core.services.notifications import KINDS
from tests.builders import QUOTA, create_task
from tests.doubles.smtp import MailServer
from tests.job_context import job_context
from tests.sql import execute
from tests.threads import in_parallel

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
    """A notification for Bob whose mail has not been sent yet."""
    tasks.create_task(
        alice,
        {"title": "Clean the\ngutters — “now”", "assignee_id": bob.user_id, "due_at": "2026-05-01T09:00:00+00:00"},
        QUOTA,
    )
    (notification_id,) = execute("SELECT id FROM notifications").fetchone()
    return int(notification_id)


def status() -> Any:
    return execute("SELECT mail_status, mail_attempts FROM notifications").fetchone()


def skip_the_wait() -> None:
    with unit_of_work():
        execute("UPDATE notifications SET mail_next_attempt_at = now()")


def test_a_mail_has_the_text_the_link_and_the_unsubscribe_headers(
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


def test_what_users_write_is_one_visible_line_and_no_link(
    context: JobContext, server: MailServer, mallory: Actor, bob: Actor
) -> None:
    with unit_of_work():
        execute(
            "UPDATE users SET full_name = E'Support\\r\\nBcc: x \\u202ewww.evil.example' WHERE id = %s",
            (mallory.user_id,),
        )
    task_id = tasks.create_task(mallory, {"title": "Log\nin at https://evil.example\u200b" + "!" * 200}, QUOTA).id
    tasks.update_task(mallory, task_id, {"assignee_id": mallory.user_id})
    delegation.delegate_task(mallory, task_id, bob.user_id, "The task: https://evil.example\n\x1b[2JNow!")
    (notification_id,) = execute("SELECT id FROM notifications").fetchone()

    mail.send(context, notification_id)

    (sent,) = server.mails
    assert sent["Subject"].startswith(
        "Support Bcc: x www[.]evil[.]example passed the task “Log in at https[:]//evil[.]example!!!"
    )
    assert sent["Subject"].endswith("!!…” on to you.")
    assert sent["Bcc"] is None
    assert sent.get_content_type() == "text/plain"
    body = sent.get_content()
    lines = ["", "> The task: https[:]//evil[.]example", "> [2JNow!", ""]
    assert body.splitlines()[:5] == [sent["Subject"], *lines]
    assert {link.split("?")[0] for link in re.findall(r"\S+://\S+", body)} == {
        f"https://tasks.example.com/api/v1/tasks/{task_id}",
        "https://tasks.example.com/api/v1/notifications/unsubscribe",
    }


def test_the_deadline_is_in_the_language_and_time_zone_of_the_reader(
    waiting: int, context: JobContext, server: MailServer, bob: Actor
) -> None:
    with unit_of_work():
        execute("UPDATE users SET locale = 'de-AT', timezone = 'Asia/Tokyo' WHERE id = %s", (bob.user_id,))

    mail.send(context, waiting)

    (sent,) = server.mails
    assert sent["Content-Language"] == "de"
    assert "Fällig: Freitag, 1. Mai 2026, 18:00 (Asia/Tokyo)" in sent.get_content()


def test_a_deadline_without_a_time_is_a_day_for_every_reader(
    context: JobContext, server: MailServer, alice: Actor, bob: Actor
) -> None:
    with unit_of_work():
        execute("UPDATE users SET timezone = 'Asia/Tokyo' WHERE id = %s", (bob.user_id,))
    tasks.create_task(alice, {"title": "Mow", "assignee_id": bob.user_id, "due_on": date(2026, 5, 1)}, QUOTA)

    mail.send_next(context)

    (sent,) = server.mails
    assert "Due: Friday, May 1, 2026\r\n" in sent.get_content()


def test_many_parallel_attempts_send_one_mail(waiting: int, context: JobContext, server: MailServer) -> None:
    in_parallel(lambda _: mail.send(context, waiting), 24)

    assert len(server.mails) == 1
    assert status() == ("sent", 1)


def test_an_unreachable_server_is_retried_and_then_the_mail_is_given_up(
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


def test_a_postponed_mail_is_found_and_sent_later(waiting: int, context: JobContext, server: MailServer) -> None:
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


def test_a_permanently_refused_mail_is_given_up_and_can_be_revived(
    waiting: int, context: JobContext, server: MailServer
) -> None:
    server.refusal = "550 no such mailbox"
    mail.send(context, waiting)
    assert status() == ("dead", 1)

    server.refusal = None
    assert failed_work.retry_matching(None, Filter("notification_mail")).count == 1
    mail.send(context, waiting)

    assert status() == ("sent", 1)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE users SET unwanted_mail = '{assigned}'",
        "UPDATE users SET is_active = false",
        "UPDATE users SET email = NULL",
        "UPDATE users SET email_verified_at = NULL",
    ],
)
def test_no_mail_is_sent_after_unsubscribing_or_losing_the_address(
    change: str, waiting: int, context: JobContext, server: MailServer
) -> None:
    with unit_of_work():
        execute(change)

    mail.send(context, waiting)

    assert (server.mails, status()[0]) == ([], None)


def test_no_mail_is_sent_of_a_task_that_its_reader_may_no_longer_read(
    waiting: int, context: JobContext, server: MailServer, alice: Actor
) -> None:
    (task_id,) = execute("SELECT task_id FROM notifications").fetchone()
    tasks.update_task(alice, task_id, {"assignee_id": None})

    mail.send(context, waiting)

    assert server.mails == []
    assert status()[0] is None


def test_without_a_mail_server_the_sweep_cancels_pending_mails(waiting: int, settings: Settings, redis: Redis) -> None:
    context = job_context(settings, redis)

    mail.send(context, waiting)
    before = status()
    mail.sweep(context)

    assert (before, status()) == (("pending", 0), (None, 0))


def test_a_mail_claimed_by_a_worker_that_died_is_sent_by_the_next_attempt(
    waiting: int, context: JobContext, server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(context.mail_server, "send", lambda _: (_ for _ in ()).throw(SystemExit))
        pytest.raises(SystemExit, mail.send, context, waiting)
    assert (status(), mail.WAITING.overdue(10)) == (("pending", 1), [])

    skip_the_wait()
    mail.send(context, waiting)

    assert (len(server.mails), status()) == (1, ("sent", 2))


def test_a_mail_that_kills_the_worker_at_every_attempt_is_given_up(
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


def test_no_mail_is_sent_if_required_starttls_is_missing(
    settings: Settings, redis: Redis, server: MailServer, waiting: int
) -> None:
    """The test server does not offer STARTTLS, so nothing may be sent if the settings require it."""
    requiring_tls = configured(settings, server.port).model_copy(update={"smtp_security": "starttls"})
    context = job_context(requiring_tls, redis)

    mail.send(context, waiting)

    assert (server.mails, status()) == ([], ("pending", 1))


def test_unsubscribing_from_one_kind_keeps_the_others(bob: Actor) -> None:
    notifications.change_mail_preferences(bob.user_id, {"assigned": False})

    assert [kind for kind, wanted in notifications.mail_preferences(bob.user_id).items() if not wanted] == ["assigned"]


class TestTurns:
    """The mails of all users are in one queue, and the users who cause them take turns."""

    def test_users_take_turns_whoever_came_first_and_the_queue_stays_short(
        self, alice: Actor, bob: Actor, settings: Settings, server: MailServer, redis: Redis
    ) -> None:
        for number in range(30):
            create_task(alice, title=f"From Alice {number}", assignee_id=bob.user_id)
        for number in range(2):
            create_task(bob, title=f"From Bob {number}", assignee_id=alice.user_id)
        queue: list[JobRequest] = []
        limits = {"mails_per_hour_per_recipient": 1000}
        context = job_context(
            configured(settings, server.port).model_copy(update=limits),
            redis,
            queue.append,
            queue_length=lambda _queue: len(queue),
        )
        publication.publish(redis, 1000, context.dispatch)
        lengths = [len(queue)]
        while queue:
            queue.pop(0)
            mail.send_next(context)
            lengths.append(len(queue))

        titles = [re.search(r"“(.*)”", str(sent["Subject"]))[1] for sent in server.mails]  # type: ignore[index]  # all match
        assert titles[:5] == ["From Alice 0", "From Bob 0", "From Alice 1", "From Bob 1", "From Alice 2"]
        assert len(titles) == 32
        assert (lengths[0], max(lengths), lengths[-1]) == (1, 20, 0)

    def test_without_a_mail_server_no_further_jobs_are_sent(
        self, waiting: int, settings: Settings, redis: Redis
    ) -> None:
        queue: list[JobRequest] = []

        assert mail.send_next(job_context(settings, redis, queue.append)) == 0

        assert queue == []
        assert status() == ("pending", 0)
