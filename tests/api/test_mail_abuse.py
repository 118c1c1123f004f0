"""Nobody gets mails by what a stranger does: measured with real requests and a real mail server."""

from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from redis import Redis
from structlog.testing import capture_logs

from core.config import Settings
from core.db import unit_of_work
from core.policy import Actor
from core.services import account_mails, mail, reminders
from tests.api.callers import Caller, invalid_fields
from tests.api.mails import mailing, send_mails
from tests.builders import PASSWORD, create_actor, create_task
from tests.doubles.smtp import MailServer
from tests.job_context import job_context
from tests.sql import execute

STRANGERS = [f"stranger{number}@example.org" for number in range(8)]


@pytest.fixture
def server(unused_tcp_port: int) -> Iterator[MailServer]:
    with MailServer(unused_tcp_port) as running:
        yield running


@pytest.fixture
def with_mail(settings: Settings, server: MailServer) -> Settings:
    """Settings with low caps, so that tests need few mails."""
    return mailing(settings, server, mails_per_hour=15, mails_per_hour_per_sender=10, mails_per_hour_per_recipient=4)


@pytest.fixture
def as_mallory(
    with_mail: Settings, mallory: Actor, client_with_settings: Callable[[Settings], Callable[[Actor], Caller]]
) -> Caller:
    # On a machine that is busy with other tests, the bulk request may take longer than the default allows.
    return client_with_settings(with_mail.model_copy(update={"database_timeout": 30.0}))(mallory)


def assign_to_strangers(caller: Caller, count: int) -> None:
    """Register accounts with strangers' addresses, and assign tasks to them in one bulk request."""
    accounts = [{"email": email, "password": PASSWORD} for email in STRANGERS]
    ids = [caller.post("/api/v1/auth/register", json=account).json()["id"] for account in accounts]
    tasks = [{"title": "Buy at evil.example", "assignee_id": ids[number % len(ids)]} for number in range(count)]
    operations = [{"op": "create", "task": task} for task in tasks]
    response = caller.post("/api/v1/tasks/bulk", json={"operations": operations})
    assert response.status_code == 200, response.text
    assert [result["status"] for result in response.json()["results"]] == [201] * count


def test_addresses_that_nobody_has_verified_get_no_text_of_others(
    as_mallory: Caller, with_mail: Settings, server: MailServer, redis: "Redis[bytes]"
) -> None:
    """Before, these requests sent 96 mails with Mallory's text."""
    assign_to_strangers(as_mallory, 96)

    send_mails(with_mail, redis)

    assert sorted(server.recipients) == STRANGERS
    assert {mail["Subject"] for mail in server.mails} == {"Please confirm your email address"}
    assert execute("SELECT count(*) FROM notifications").fetchone() == (96,)


class TestCaps:
    """Mails that one account causes, that one account gets, and all mails."""

    @pytest.fixture
    def readers(self, database: None) -> list[Actor]:
        return [create_actor(f"reader{number}") for number in range(8)]

    def test_one_sender_causes_a_bounded_number_of_mails(
        self, readers: list[Actor], mallory: Actor, with_mail: Settings, server: MailServer, redis: "Redis[bytes]"
    ) -> None:
        for number in range(24):
            create_task(mallory, assignee_id=readers[number % 8].user_id)

        with capture_logs() as lines:
            send_mails(with_mail, redis)

        assert len(server.mails) == with_mail.mails_per_hour_per_sender
        assert execute("SELECT count(*) FROM notifications").fetchone() == (24,)
        assert [(line["subject"], line["mails"]) for line in lines if line["event"] == "mails_capped"] == [
            (f"sender {mallory.user_id}", 10)
        ]

    def test_missed_deadlines_count_for_the_owner_of_the_task(
        self, readers: list[Actor], mallory: Actor, with_mail: Settings, server: MailServer, redis: "Redis[bytes]"
    ) -> None:
        for reader in readers:
            create_task(mallory, assignee_id=reader.user_id)
        with unit_of_work():
            execute("UPDATE tasks SET due_at = now() - interval '1 minute'")
        reminders.notify_overdue()

        send_mails(with_mail, redis)

        assert len(server.mails) == with_mail.mails_per_hour_per_sender

    def test_one_reader_gets_a_bounded_number_of_mails(
        self, readers: list[Actor], bob: Actor, with_mail: Settings, server: MailServer, redis: "Redis[bytes]"
    ) -> None:
        for sender in readers:
            create_task(sender, assignee_id=bob.user_id)

        send_mails(with_mail, redis)

        assert len(server.mails) == with_mail.mails_per_hour_per_recipient

    def test_notifications_leave_a_fifth_of_all_mails_to_accounts(
        self, readers: list[Actor], with_mail: Settings, server: MailServer, redis: "Redis[bytes]"
    ) -> None:
        for sender, reader in zip(readers, reversed(readers), strict=True):
            for _ in range(3):
                create_task(sender, assignee_id=reader.user_id)
        send_mails(with_mail, redis)
        for number in range(5):
            queue_mail_to_proved_address(f"carol{number}@example.org")
        send_mails(with_mail, redis)

        kinds = Counter("account" if "carol" in mail["To"] else "notification" for mail in server.mails)
        assert kinds == {"notification": 12, "account": 3}

    @pytest.mark.parametrize(("sent_before", "unproved"), [(0, 9), (10, 3), (13, 0)])
    def test_mails_to_addresses_that_nobody_has_proved_leave_room_for_others(
        self, sent_before: int, unproved: int, with_mail: Settings, server: MailServer, redis: "Redis[bytes]"
    ) -> None:
        """Before, registrations could use up all mails of every hour, and nobody got a link for a new password."""
        with unit_of_work():
            execute("INSERT INTO mail_counts VALUES ('all', date_trunc('hour', now()), %s, 0)", (sent_before,))
        for number in range(15):
            queue_account_mail(f"stranger{number}@example.org")
        send_mails(with_mail, redis)
        for number in range(2):
            queue_mail_to_proved_address(f"carol{number}@example.org")
        send_mails(with_mail, redis)

        kinds = Counter("proved" if "carol" in mail["To"] else "unproved" for mail in server.mails)
        assert (kinds["unproved"], kinds["proved"]) == (unproved, 2)
        waiting = "SELECT count(*) FROM account_mails WHERE mail_status = 'pending' AND mail_next_attempt_at > now()"
        assert execute(waiting).fetchone() == (15 - unproved,)

    def test_a_mail_about_an_account_waits_for_the_next_hour(
        self, with_mail: Settings, server: MailServer, redis: "Redis[bytes]"
    ) -> None:
        with unit_of_work():
            execute("INSERT INTO mail_counts VALUES ('all', date_trunc('hour', now()), 15, 0)")
        queue_account_mail("carol@example.org")
        send_mails(with_mail, redis)
        waiting = execute(
            "SELECT mail_status, mail_attempts, date_trunc('hour', mail_next_attempt_at) = date_trunc('hour', now())"
            " + interval '1 hour' FROM account_mails"
        ).fetchone()
        with unit_of_work():
            execute("UPDATE mail_counts SET period_start = period_start - interval '1 hour'")
            execute("UPDATE account_mails SET mail_next_attempt_at = now()")

        assert (server.mails, waiting) == ([], ("pending", 0, True))
        (mail_id,) = execute("SELECT id FROM account_mails").fetchone()
        account_mails.send(job_context(with_mail, redis), mail_id)
        assert server.recipients == ["carol@example.org"]

    def test_a_mail_that_the_server_did_not_accept_is_not_counted(
        self, alice: Actor, bob: Actor, with_mail: Settings, server: MailServer, redis: "Redis[bytes]"
    ) -> None:
        server.refusal = "451 come back later"
        create_task(alice, assignee_id=bob.user_id)
        send_mails(with_mail, redis)

        assert execute("SELECT sum(mails), sum(refused) FROM mail_counts").fetchone() == (0, 0)
        with unit_of_work():
            execute("UPDATE notifications SET mail_next_attempt_at = now()")
        (notification_id,) = execute("SELECT id FROM notifications").fetchone()
        server.refusal = None
        mail.send(job_context(with_mail, redis), notification_id)
        assert len(server.mails) == 1


def test_an_unproved_address_gets_few_mails_a_day_whichever_accounts_name_it(
    with_mail: Settings, server: MailServer, redis: "Redis[bytes]"
) -> None:
    for number in range(9):
        queue_account_mail("stranger@example.org" if number % 2 else "STRANGER@EXAMPLE.ORG")

    send_mails(with_mail, redis)

    assert len(server.mails) == 6


@pytest.mark.parametrize("local_part", ["=?utf-8?q?stranger?=", "=?utf-8?b?c3RyYW5nZXI=?=", "=?utf-8?q?stran?=.ger"])
def test_no_address_is_read_as_another_one_in_the_header_of_a_mail(
    local_part: str, as_mallory: Caller, with_mail: Settings, server: MailServer, redis: "Redis[bytes]"
) -> None:
    """Before, each of many ways to encode a stranger's address had six mails a day of its own."""
    account = {"email": f"{local_part}@example.org", "password": PASSWORD}
    response = as_mallory.post("/api/v1/auth/register", json=account)
    send_mails(with_mail, redis)

    assert server.recipients == []
    assert (response.status_code, invalid_fields(response)) == (422, ["email"])


def queue_account_mail(address: str) -> None:
    """Queue the mail that asks the reader of an address to confirm it."""
    with unit_of_work():
        details = {"link": "https://tasks.example.com", "code": "12345678"}
        account_mails.queue(account_mails.VERIFY_EMAIL, recipient=address, locale="en", **details)


def queue_mail_to_proved_address(address: str) -> None:
    """Queue a mail that only the owners of proved addresses get."""
    with unit_of_work():
        account_mails.queue(account_mails.PASSWORD_WAS_RESET, recipient=address, locale="en")
