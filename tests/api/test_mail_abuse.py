"""Nobody gets mails by what a stranger does: measured with real requests and a real mail server."""

from collections.abc import Callable, Iterator

import pytest
from redis import Redis

from core.config import Settings
from core.policy import Actor
from tests.api.callers import Caller
from tests.api.mails import mailing, send_mails
from tests.builders import PASSWORD
from tests.doubles.smtp import MailServer
from tests.sql import execute

STRANGERS = [f"stranger{number}@example.org" for number in range(8)]


@pytest.fixture
def server(unused_tcp_port: int) -> Iterator[MailServer]:
    with MailServer(unused_tcp_port) as running:
        yield running


@pytest.fixture
def with_mail(settings: Settings, server: MailServer) -> Settings:
    return mailing(settings, server)


@pytest.fixture
def as_mallory(
    with_mail: Settings, mallory: Actor, client_with_settings: Callable[[Settings], Callable[[Actor], Caller]]
) -> Caller:
    return client_with_settings(with_mail)(mallory)


def assign_to_strangers(caller: Caller, count: int) -> None:
    """Register accounts with strangers' addresses, and assign tasks to them in one bulk request."""
    accounts = [{"email": email, "password": PASSWORD} for email in STRANGERS]
    ids = [caller.post("/api/v1/auth/register", json=account).json()["id"] for account in accounts]
    tasks = [{"title": "Buy at evil.example", "assignee_id": ids[number % len(ids)]} for number in range(count)]
    operations = [{"op": "create", "task": task} for task in tasks]
    response = caller.post("/api/v1/tasks/bulk", json={"operations": operations})
    assert [result["status"] for result in response.json()["results"]] == [201] * count


def test_addresses_that_nobody_has_verified_get_no_text_of_others(
    as_mallory: Caller, with_mail: Settings, server: MailServer, redis: "Redis[bytes]"
) -> None:
    """Before, these requests sent 96 mails with Mallory's text."""
    assign_to_strangers(as_mallory, 96)

    send_mails(with_mail, redis)

    assert [mail["Subject"] for mail in server.mails if "Mallory" in mail["Subject"]] == []
    assert execute("SELECT count(*) FROM notifications").fetchone() == (96,)
