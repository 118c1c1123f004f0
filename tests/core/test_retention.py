"""Only rows whose retention time has passed are removed."""

from datetime import timedelta

import pytest
from redis import Redis

from core.config import Settings
from core.db import unit_of_work
from core.jobs import JobContext
from core.models.account import Session, Ticket
from core.policy import Actor
from core.security import TokenIssuer
from core.services import account_links, account_mails, idempotency, invitations, retention, sessions, tasks
from core.services.idempotency import Claim
from core.services.invitations import InvitationTerms
from tests.builders import QUOTA, create_actor, create_task
from tests.job_context import job_context
from tests.sql import execute


@pytest.fixture
def context(settings: Settings, redis: Redis) -> JobContext:
    """A job context with the default retention: 90 days for notifications."""
    return job_context(settings, redis)


def scalar(sql: str) -> int:
    (value,) = execute(sql).fetchone()
    return int(value)


def test_expired_sessions_and_sessions_revoked_long_ago_are_removed(alice: Actor, context: JobContext) -> None:
    expired, revoked_lately, revoked_long_ago = (
        create_actor("expired"),
        create_actor("lately"),
        create_actor("long-ago"),
    )
    with unit_of_work():
        execute("UPDATE sessions SET expires_at = now() - interval '1 s' WHERE id = %s", (expired.session_id,))
        execute("UPDATE sessions SET revoked_at = now() WHERE id = %s", (revoked_lately.session_id,))
        execute(
            "UPDATE sessions SET revoked_at = now() - interval '2 days' WHERE id = %s", (revoked_long_ago.session_id,)
        )

    assert retention.purge_tokens(context) == 2

    kept = {session.id for session in Session.select()}
    assert kept == {alice.session_id, revoked_lately.session_id}


def test_counts_of_mails_are_removed_after_two_days(database: None, context: JobContext) -> None:
    with unit_of_work():
        execute(
            "INSERT INTO mail_counts VALUES ('all', now() - interval '1 day', 1), ('all', now() - interval '3 d', 1)"
        )

    assert retention.purge_tokens(context) == 1
    assert scalar("SELECT count(*) FROM mail_counts WHERE period_start > now() - interval '2 days'") == 1


def test_counts_of_new_places_are_removed_after_their_day(database: None, context: JobContext) -> None:
    execute("INSERT INTO weather_new_places SELECT 1, current_date - age, 7 FROM generate_series(0, 2) age")

    assert retention.purge_tokens(context) == 1
    assert scalar("SELECT count(*) FROM weather_new_places") == 2


def test_expired_invitations_are_removed(ada: Actor, context: JobContext) -> None:
    issuer = TokenIssuer.from_settings(context.settings)
    for name in ("carol", "dora"):
        invitations.invite(ada, f"{name}@example.com", None, InvitationTerms(7, by_mail=True), issuer)
    with unit_of_work():
        execute("UPDATE invitations SET expires_at = now() WHERE email LIKE 'carol%%'")

    assert retention.purge_tokens(context) == 1
    assert scalar("SELECT count(*) FROM invitations WHERE email LIKE 'dora%%'") == 1


def test_expired_tickets_are_removed(alice: Actor, context: JobContext) -> None:
    for _ in range(2):
        sessions.issue_ticket(alice, timedelta(minutes=1), None)
    with unit_of_work():
        execute(
            "UPDATE ws_tickets SET expires_at = now() - interval '1 s' WHERE ctid = (SELECT min(ctid) FROM ws_tickets)"
        )

    assert retention.purge_tokens(context) == 1
    assert Ticket.select().count() == 1


def test_more_than_one_batch_is_removed_in_one_run(alice: Actor, context: JobContext) -> None:
    with unit_of_work():
        execute(
            "INSERT INTO ws_tickets SELECT int4send(n), %s, now() - interval '1 s' FROM generate_series(1, 2500) n",
            (alice.session_id,),
        )

    assert retention.purge_tokens(context) == 2500


def test_idempotency_keys_are_removed_after_a_day(alice: Actor, context: JobContext) -> None:
    for key in ("old", "new"):
        claim = Claim(alice.user_id, "POST /tasks", key, b"")
        idempotency.once(claim, tasks.create_task, alice, {"title": "x"}, QUOTA)
    with unit_of_work():
        execute("UPDATE idempotency_keys SET created_at = now() - interval '25 hours' WHERE key = 'old'")

    assert retention.purge_tokens(context) == 1
    assert execute("SELECT key FROM idempotency_keys").fetchall() == [("new",)]


def test_what_the_weather_has_done_is_removed_after_two_years(
    alice: Actor, context: JobContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_BATCH", 2)
    task_id = create_task(alice)
    with unit_of_work():
        execute(
            "INSERT INTO weather_outcomes (kind, task_id, user_id, at)"
            " SELECT 'moved', %s, %s, now() - make_interval(days => age) FROM unnest(ARRAY[900, 800, 732, 729, 0]) age",
            (task_id, alice.user_id),
        )

    assert retention.purge_tokens(context) == 3
    assert scalar("SELECT count(*) FROM weather_outcomes WHERE at > now() - interval '730 days'") == 2


def test_old_notifications_are_removed_unless_their_mail_is_pending(
    alice: Actor, bob: Actor, context: JobContext
) -> None:
    for title in ("old and sent", "old and waiting", "new"):
        create_task(alice, title=title, assignee_id=bob.user_id)
    with unit_of_work():
        execute("UPDATE notifications SET mail_status = 'sent' WHERE details->>'title' <> 'old and waiting'")
        execute("UPDATE notifications SET created_at = now() - interval '91 days' WHERE details->>'title' <> 'new'")

    assert retention.purge_notifications(context) == 1
    titles = execute("SELECT details->>'title' FROM notifications ORDER BY id").fetchall()
    assert titles == [("old and waiting",), ("new",)]


def test_turns_of_more_than_a_day_ago_are_removed(context: JobContext) -> None:
    with unit_of_work():
        execute(
            "INSERT INTO turns (work, user_id, taken_at)"
            " VALUES ('weather', 1, now() - interval '25 hours'), ('weather', 2, now() - interval '23 hours')"
        )

    assert retention.purge_tokens(context) == 1
    assert scalar("SELECT user_id FROM turns") == 2


def test_links_are_removed_a_day_after_their_end_together_with_their_mails(alice: Actor, context: JobContext) -> None:
    for purpose in (account_links.VERIFY_EMAIL, account_links.RESET_PASSWORD):
        with unit_of_work():
            link_id = account_links.begin(alice.user_id, purpose, "alice@example.com", timedelta(hours=1))
            account_mails.queue(account_mails.VERIFY_EMAIL, recipient="alice@example.com", locale="en", link_id=link_id)
    with unit_of_work():
        execute("UPDATE account_links SET expires_at = now() - interval '25 hours' WHERE purpose = 'verify_email'")

    assert retention.purge_tokens(context) == 1
    assert execute("SELECT purpose FROM account_links").fetchall() == [("reset_password",)]
    assert scalar("SELECT count(*) FROM account_mails") == 1


@pytest.mark.usefixtures("database")
def test_old_mails_about_accounts_are_removed_unless_they_are_pending(context: JobContext) -> None:
    for name in ("sent", "waiting", "new"):
        with unit_of_work():
            account_mails.queue(account_mails.PASSWORD_WAS_RESET, recipient=f"{name}@example.com", locale="en")
    with unit_of_work():
        execute("UPDATE account_mails SET mail_status = 'sent' WHERE recipient <> 'waiting@example.com'")
        execute("UPDATE account_mails SET created_at = now() - interval '91 days' WHERE recipient <> 'new@example.com'")

    assert retention.purge_notifications(context) == 1
    recipients = execute("SELECT recipient FROM account_mails ORDER BY id").fetchall()
    assert recipients == [("waiting@example.com",), ("new@example.com",)]
