"""Forgotten passwords as use cases: nothing shows whether there is an account, and a link is used once."""

from datetime import timedelta

import pytest

from core.config import Settings
from core.db import connected, unit_of_work
from core.errors import Rejected, Unauthenticated
from core.models.account_mail import AccountMail
from core.policy import Actor, Scope
from core.security import TokenIssuer
from core.services import password_resets, personal_tokens
from tests.sql import execute
from tests.statements import statements_sent
from tests.threads import in_parallel

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def issuer(settings: Settings) -> TokenIssuer:
    return TokenIssuer.from_settings(settings)


def test_a_request_sends_the_same_statements_whether_there_is_an_account_or_not(
    alice: Actor, bob: Actor, mallory: Actor
) -> None:
    with unit_of_work():
        execute("UPDATE users SET email_verified_at = NULL WHERE id = %s", (bob.user_id,))
        execute("UPDATE users SET is_active = false WHERE id = %s", (mallory.user_id,))
    sent: list[list[str]] = []
    for name in ("alice", "bob", "mallory", "nobody"):
        with statements_sent() as statements:
            password_resets.request_link(f"{name}@example.com", "en")
        sent.append(statements)

    assert sent[0]
    assert sent[1:] == sent[:1] * 3


def test_a_link_is_used_once(alice: Actor, issuer: TokenIssuer) -> None:
    token = password_resets.make_token("alice", issuer)
    assert token is not None

    def reset(number: int) -> bool:
        try:
            password_resets.reset_password(token, f"hash {number}", "127.0.0.1", issuer)
        except Rejected:
            return False
        return True

    assert sorted(in_parallel(reset, 8)) == [False] * 7 + [True]


def test_requests_for_the_same_account_make_no_more_links_than_allowed(alice: Actor) -> None:
    for _ in range(8):
        password_resets.request_link("alice@example.com", "en")
    with connected():
        mails = list(AccountMail.select().order_by(AccountMail.id))

    found = in_parallel(lambda number: password_resets.find_account(mails[number]), 8)

    assert sorted(found) == [False] * 5 + [True] * 3


def test_links_of_more_than_an_hour_ago_do_not_count(alice: Actor, issuer: TokenIssuer) -> None:
    for _ in range(3):
        password_resets.make_token("alice", issuer)
    with unit_of_work():
        execute("UPDATE account_links SET created_at = now() - interval '61 minutes'")
    password_resets.request_link("alice@example.com", "en")
    with connected():
        mail = AccountMail.get()

    assert password_resets.find_account(mail)


def test_a_printed_link_proves_no_address_and_no_mail_is_sent_to_it(alice: Actor, issuer: TokenIssuer) -> None:
    with unit_of_work():
        execute("UPDATE users SET email_verified_at = NULL")
    token = password_resets.make_token("alice", issuer)
    assert token is not None

    password_resets.reset_password(token, "a hash", "127.0.0.1", issuer)

    assert execute("SELECT email_verified_at FROM users").fetchone() == (None,)
    assert execute("SELECT count(*) FROM account_mails").fetchone() == (0,)


def test_a_refresh_of_a_session_after_the_reset_fails(alice: Actor, issuer: TokenIssuer) -> None:
    token = password_resets.make_token("alice", issuer)
    assert token is not None

    ended = password_resets.reset_password(token, "a hash", "127.0.0.1", issuer)

    assert ended == [alice.session_id]
    assert execute("SELECT count(*) FROM sessions WHERE revoked_at IS NULL").fetchone() == (0,)


def test_a_request_that_began_before_the_reset_makes_no_token_after_it(alice: Actor, issuer: TokenIssuer) -> None:
    """Other processes may take an ended session for a live one for a moment, and a token would outlive the reset."""
    token = password_resets.make_token("alice", issuer)
    assert token is not None
    password_resets.reset_password(token, "a hash", "127.0.0.1", issuer)

    with pytest.raises(Unauthenticated) as failure:
        personal_tokens.create(alice, "backup", [Scope.TASKS_READ], timedelta(days=1), quota=10)

    assert failure.value.stable_code == "session_revoked"
    assert execute("SELECT count(*) FROM sessions WHERE revoked_at IS NULL").fetchone() == (0,)
