"""Mails about accounts: sent in the language of their reader, retried, and not sent when their link is of no use."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from redis import Redis

from core import jobs
from core.config import Settings
from core.db import unit_of_work
from core.jobs import JobContext, JobRequest
from core.policy import Actor
from core.security import TokenIssuer
from core.services import account_links, account_mails, failed_work, publication
from core.services.failed_work import Filter
from tests.doubles.smtp import MailServer
from tests.job_context import job_context
from tests.sql import execute
from tests.threads import in_parallel

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def server(unused_tcp_port: int) -> Iterator[MailServer]:
    with MailServer(unused_tcp_port) as running:
        yield running


@pytest.fixture
def context(settings: Settings, redis: Redis, server: MailServer) -> JobContext:
    changed = {
        **server.settings,
        "mail_attempts": 3,
        "mail_from": "Allweather <noreply@example.com>",
        "public_url": "https://tasks.example.com",
    }
    return job_context(settings.model_copy(update=changed), redis)


def queue_link(actor: Actor, locale: str = "en") -> int:
    with unit_of_work():
        link_id = account_links.begin(
            actor.user_id, account_links.VERIFY_EMAIL, "alice@example.com", timedelta(hours=1)
        )
        account_mails.queue(
            account_mails.VERIFY_EMAIL,
            recipient="alice@example.com",
            locale=locale,
            user_id=actor.user_id,
            link_id=link_id,
        )
    return newest()


def newest() -> int:
    (mail_id,) = execute("SELECT max(id) FROM account_mails").fetchone()
    return int(mail_id)


def status() -> Any:
    return execute("SELECT mail_status, mail_attempts FROM account_mails").fetchone()


def test_a_mail_has_a_link_and_a_code_that_work(alice: Actor, context: JobContext, server: MailServer) -> None:
    mail_id = queue_link(alice)

    account_mails.send(context, mail_id)

    (sent,) = server.mails
    text = sent.get_content()
    (token,) = re.findall(r"https://tasks\.example\.com/api/v1/auth/email/verify\?token=(\S+)", text)
    (code,) = re.findall(r"\b\d{8}\b", text)
    issuer = TokenIssuer.from_settings(context.settings)
    assert server.recipients == ["alice@example.com"]
    assert sent["Message-ID"] == f"<account-mail-{mail_id}@example.com>"
    assert sent["Auto-Submitted"] == "auto-generated"
    assert account_links.check_code(alice.user_id, account_links.VERIFY_EMAIL, code, issuer)
    with unit_of_work():
        assert account_links.use(token, account_links.VERIFY_EMAIL, issuer).email == "alice@example.com"
    assert status() == ("sent", 1)


@pytest.mark.parametrize(
    ("locale", "subject"),
    [("de-AT", "Bitte bestätigen Sie Ihre E-Mail-Adresse"), ("pt", "Please confirm your email address")],
)
def test_a_mail_is_in_the_language_of_its_reader(
    locale: str, subject: str, alice: Actor, context: JobContext, server: MailServer
) -> None:
    account_mails.send(context, queue_link(alice, locale))

    assert server.mails[0]["Subject"] == subject


def test_a_mail_server_gets_the_ascii_form_of_a_domain(context: JobContext, server: MailServer) -> None:
    with unit_of_work():
        account_mails.queue(account_mails.EMAIL_REMOVED, recipient="carol@bücher.example", locale="en")

    account_mails.send(context, newest())

    assert server.recipients == ["carol@xn--bcher-kva.example"]
    assert b"To: carol@xn--bcher-kva.example\r\n" in server.contents[0]


@pytest.mark.parametrize("kind", [account_mails.EMAIL_CHANGE_BEGUN, account_mails.EMAIL_CHANGED])
def test_a_mail_about_a_change_names_the_new_address(kind: str, context: JobContext, server: MailServer) -> None:
    with unit_of_work():
        account_mails.queue(kind, recipient="old@example.com", locale="en", new_email="new@example.com")

    account_mails.send(context, newest())

    assert "new@example.com" in server.mails[0].get_content()


def test_a_client_may_have_its_own_page_for_passwords(alice: Actor, settings: Settings, redis: Redis) -> None:
    plain = job_context(settings.model_copy(update={"public_url": "https://api.example.com"}), redis)
    own = job_context(settings.model_copy(update={"password_reset_url": "https://example.com/?page=reset"}), redis)

    assert plain.mail_links.to_reset_password("t") == "https://api.example.com/api/v1/auth/password/reset?token=t"
    assert own.mail_links.to_reset_password("t") == "https://example.com/?page=reset&token=t"


def test_a_queued_mail_is_requested_by_its_event(alice: Actor, context: JobContext, redis: Redis) -> None:
    mail_id = queue_link(alice)
    sent: list[JobRequest] = []

    publication.publish(redis, 1000, sent.append)

    assert [(request.name, request.arguments) for request in sent] == [(jobs.ACCOUNT_MAIL_SEND.name, (mail_id,))]


def test_many_parallel_attempts_send_one_mail(alice: Actor, context: JobContext, server: MailServer) -> None:
    mail_id = queue_link(alice)

    in_parallel(lambda _: account_mails.send(context, mail_id), 12)

    assert len(server.mails) == 1


def test_a_mail_whose_link_was_replaced_is_not_sent(alice: Actor, context: JobContext, server: MailServer) -> None:
    first, second = queue_link(alice), queue_link(alice)

    account_mails.send(context, first)
    account_mails.send(context, second)

    assert execute("SELECT mail_status FROM account_mails ORDER BY id").fetchall() == [(None,), ("sent",)]
    assert len(server.mails) == 1


def test_a_postponed_mail_is_found_by_the_sweep(
    alice: Actor, context: JobContext, server: MailServer, redis: Redis
) -> None:
    mail_id = queue_link(alice)
    server.refusal = "451 come back later"
    account_mails.send(context, mail_id)
    assert (status(), account_mails.is_overdue(context)) == (("pending", 1), False)
    with unit_of_work():
        execute("UPDATE account_mails SET mail_next_attempt_at = now() - interval '10 seconds'")
    sent: list[JobRequest] = []

    assert account_mails.is_overdue(context)
    assert account_mails.sweep(job_context(context.settings, redis, sent.append)) == 1
    assert sent == [jobs.ACCOUNT_MAIL_SEND.request(mail_id)]


def test_a_refused_mail_is_given_up_and_can_be_revived(alice: Actor, context: JobContext, server: MailServer) -> None:
    mail_id = queue_link(alice)
    server.refusal = "550 no such mailbox"
    account_mails.send(context, mail_id)
    assert status() == ("dead", 1)

    server.refusal = None
    assert failed_work.retry_matching(None, Filter("account_mail")).count == 1
    account_mails.send(context, mail_id)

    assert status() == ("sent", 1)


def test_without_a_mail_server_the_sweep_discards_mails(alice: Actor, settings: Settings, redis: Redis) -> None:
    queue_link(alice)

    assert account_mails.sweep(job_context(settings, redis)) == 1
    assert status() == (None, 0)


def test_neither_the_event_nor_the_row_has_the_secret(alice: Actor, context: JobContext, server: MailServer) -> None:
    account_mails.send(context, queue_link(alice))
    (secret,) = re.findall(r"token=\d+\.\w+\.(\S+)", server.mails[0].get_content())
    (code,) = re.findall(r"\b\d{8}\b", server.mails[0].get_content())

    rows = [
        row
        for table in ("account_links", "account_mails", "events")
        for row in execute(f"SELECT to_json(stored)::text FROM {table} stored").fetchall()
    ]
    stored = str(rows)

    assert secret not in stored
    assert code not in stored
