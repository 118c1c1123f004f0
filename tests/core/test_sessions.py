"""Sessions: rotation, replay, revocation and tickets, also with parallel calls."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from core.db import unit_of_work
from core.errors import NotFound, Unauthenticated
from core.policy import Actor
from core.services import audit, sessions
from core.services.sessions import Client, Grant
from tests.recorded import recorded_events
from tests.sql import execute
from tests.threads import in_parallel


def refused(attempt: Callable[[], object]) -> str:
    with pytest.raises(Unauthenticated) as failure:
        attempt()
    return failure.value.stable_code


def end_the_grace_period() -> None:
    with unit_of_work():
        execute("UPDATE sessions SET rotated_at = now() - interval '11 s'")


def revocations() -> list[Any]:
    return [event.data for event in recorded_events(kind="sessions.revoked")]


class TestRotation:
    def test_each_token_is_followed_by_the_next(self, alice: Actor) -> None:
        counters = [sessions.rotate(alice.session_id, number).refresh_counter for number in range(3)]

        assert counters == [1, 2, 3]

    def test_a_token_can_be_used_again_if_the_response_was_lost(self, alice: Actor) -> None:
        first = sessions.rotate(alice.session_id, 0)

        assert sessions.rotate(alice.session_id, 0) == first

    def test_each_session_and_account_has_its_own_tokens(self, alice: Actor, bob: Actor, mallory: Actor) -> None:
        with unit_of_work():
            # PostgreSQL reads a changed row after the others, so Bob's is neither the first nor between the others.
            execute("UPDATE users SET full_name = 'Robert' WHERE id = %s", (bob.user_id,))
        for actor in (bob, mallory, alice):
            grant = sessions.rotate(actor.session_id, 0)

            assert (grant.user_id, grant.session_id) == (actor.user_id, actor.session_id)
            assert orjson.loads(grant.profile)["id"] == actor.user_id

    def test_the_grace_period_begins_with_the_rotation(self, alice: Actor) -> None:
        end_the_grace_period()
        first = sessions.rotate(alice.session_id, 0)

        assert sessions.rotate(alice.session_id, 0) == first

    def test_a_token_with_a_later_number_is_a_replay(self, alice: Actor) -> None:
        """Such a token was issued before the database was restored from a backup."""
        assert refused(lambda: sessions.rotate(alice.session_id, 1)) == "refresh_token_reused"
        assert refused(lambda: sessions.session_actor(alice.session_id)) == "session_revoked"

    def test_an_ended_session_is_not_rotated(self, alice: Actor) -> None:
        sessions.revoke_session(alice, alice.session_id)

        assert refused(lambda: sessions.rotate(alice.session_id, 0)) == "session_revoked"
        assert refused(lambda: sessions.rotate(0, 0)) == "session_revoked"

    def test_twenty_parallel_uses_give_the_same_next_token(self, alice: Actor) -> None:
        grants: list[Grant] = in_parallel(lambda _: sessions.rotate(alice.session_id, 0), 20)

        assert {grant.refresh_counter for grant in grants} == {1}
        assert execute("SELECT refresh_counter, revoked_at FROM sessions").fetchall() == [(1, None)]

    @pytest.mark.parametrize("rotations", [1, 2])
    def test_a_replay_revokes_the_session(self, rotations: int, alice: Actor) -> None:
        for number in range(rotations):
            sessions.rotate(alice.session_id, number)
        end_the_grace_period()

        assert refused(lambda: sessions.rotate(alice.session_id, 0)) == "refresh_token_reused"
        assert refused(lambda: sessions.rotate(alice.session_id, rotations)) == "session_revoked"
        assert refused(lambda: sessions.session_actor(alice.session_id)) == "session_revoked"
        assert revocations() == [{"user_id": alice.user_id, "session_ids": [alice.session_id]}]

    def test_a_token_older_than_the_previous_one_is_always_a_replay(self, alice: Actor) -> None:
        for number in range(2):
            sessions.rotate(alice.session_id, number)

        assert refused(lambda: sessions.rotate(alice.session_id, 0)) == "refresh_token_reused"

    def test_rotating_does_not_prolong_a_session(self, alice: Actor) -> None:
        before = sessions.rotate(alice.session_id, 0).expires_at
        assert sessions.rotate(alice.session_id, 1).expires_at == before
        with unit_of_work():
            execute("UPDATE sessions SET expires_at = now() - interval '1 s'")

        assert refused(lambda: sessions.rotate(alice.session_id, 2)) == "session_revoked"

    @pytest.mark.parametrize("change", ["UPDATE users SET is_active = false", "DELETE FROM users"])
    def test_a_disabled_or_deleted_account_cannot_use_its_session(self, change: str, alice: Actor) -> None:
        with unit_of_work():
            execute(change)

        assert refused(lambda: sessions.rotate(alice.session_id, 0)) == "session_revoked"
        assert refused(lambda: sessions.session_actor(alice.session_id)) == "session_revoked"


class TestRevocation:
    def test_ended_sessions_are_not_listed(self, alice: Actor, bob: Actor) -> None:
        client = Client("203.0.113.9", "curl")
        kept = sessions.open_session(alice.user_id, client, timedelta(days=1))
        ended = sessions.open_session(alice.user_id, client, timedelta(days=1))
        sessions.open_session(alice.user_id, client, timedelta(seconds=-1))
        sessions.revoke_session(alice, ended.session_id)

        listed = orjson.loads(sessions.list_sessions(alice).items)

        assert {entry["id"]: entry["current"] for entry in listed} == {alice.session_id: True, kept.session_id: False}
        assert {entry["ip_address"] for entry in listed} == {"127.0.0.1", "203.0.113.9"}

    def test_the_session_that_was_used_last_is_listed_first(self, alice: Actor) -> None:
        other = sessions.open_session(alice.user_id, Client("203.0.113.9", "curl"), timedelta(days=1))
        with unit_of_work():
            execute(
                "UPDATE sessions SET last_used_at = now() - interval '1 hour', created_at = now() - interval '1 day'"
            )
        sessions.rotate(alice.session_id, 0)

        first, second = orjson.loads(sessions.list_sessions(alice).items)

        assert [first["id"], second["id"]] == [alice.session_id, other.session_id]
        assert datetime.fromisoformat(first["last_used_at"]) > datetime.now(UTC) - timedelta(minutes=1)
        assert second["user_agent"] == "curl"

    def test_a_session_that_has_expired_has_no_actor(self, alice: Actor, bob: Actor) -> None:
        expired = sessions.open_session(alice.user_id, Client("127.0.0.1", None), timedelta(seconds=-1))

        assert refused(lambda: sessions.session_actor(expired.session_id)) == "session_revoked"
        # Bob's session is valid, but nobody asks for it.
        assert sessions.session_actors([alice.session_id, expired.session_id]) == {alice.session_id: alice}

    def test_an_ended_session_is_not_ended_again(self, alice: Actor) -> None:
        sessions.revoke_session(alice, alice.session_id)

        with pytest.raises(NotFound):
            sessions.revoke_session(alice, alice.session_id)
        assert len(revocations()) == 1

    def test_a_session_may_be_left_open_when_all_others_end(self, alice: Actor) -> None:
        other = sessions.open_session(alice.user_id, Client("127.0.0.1", None), timedelta(days=1))

        with unit_of_work():
            assert sessions.revoke_sessions(alice.user_id, but=alice.session_id) == [other.session_id]

        assert sessions.session_actor(alice.session_id) == alice
        assert refused(lambda: sessions.session_actor(other.session_id)) == "session_revoked"

    def test_users_revoke_only_their_own_sessions(self, alice: Actor, bob: Actor) -> None:
        for stranger, victim in ((alice, bob), (bob, alice)):
            with pytest.raises(NotFound):
                sessions.revoke_session(stranger, victim.session_id)

            assert sessions.session_actor(victim.session_id) == victim

    def test_only_the_session_of_the_caller_is_the_current_one(self, alice: Actor) -> None:
        other = sessions.open_session(alice.user_id, Client("127.0.0.1", None), timedelta(days=1)).session_id
        for current in (alice.session_id, other):
            listed = orjson.loads(sessions.list_sessions(replace(alice, session_id=current)).items)

            assert [entry["id"] for entry in listed if entry["current"]] == [current]

    def test_logging_out_everywhere_revokes_all_sessions_in_one_event(self, alice: Actor, bob: Actor) -> None:
        other = sessions.open_session(alice.user_id, Client("127.0.0.1", None), timedelta(days=1))

        ended = sessions.logout_everywhere(alice)

        assert sorted(ended) == [alice.session_id, other.session_id]
        assert [sorted(event["session_ids"]) for event in revocations()] == [sorted(ended)]
        assert sessions.session_actor(bob.session_id) == bob

    def test_logging_out_without_sessions_records_no_event(self, alice: Actor) -> None:
        sessions.logout_everywhere(alice)

        assert sessions.logout_everywhere(alice) == []
        assert len(revocations()) == 1


class TestAudit:
    """Beginnings and ends of sessions are recorded, so that people can see that others have used their account."""

    @staticmethod
    def last_record() -> tuple[str, int | None, dict[str, Any]]:
        row: tuple[str, int | None, dict[str, Any]] = execute(
            "SELECT action, user_id, details FROM audit_log ORDER BY id DESC LIMIT 1"
        ).fetchone()
        return row

    def test_of_a_login(self, alice: Actor) -> None:
        assert self.last_record() == (audit.LOGGED_IN, alice.user_id, {"session_id": alice.session_id})

    def test_of_one_session(self, alice: Actor) -> None:
        sessions.revoke_session(alice, alice.session_id)

        assert self.last_record() == (audit.SESSIONS_ENDED, alice.user_id, {"session_ids": [alice.session_id]})

    def test_of_all_sessions(self, alice: Actor) -> None:
        sessions.logout_everywhere(alice)

        assert self.last_record() == (audit.SESSIONS_ENDED, alice.user_id, {"session_ids": [alice.session_id]})

    def test_by_a_replay(self, alice: Actor) -> None:
        assert refused(lambda: sessions.rotate(alice.session_id, 5)) == "refresh_token_reused"

        assert self.last_record() == (audit.REFRESH_REUSED, alice.user_id, {"session_id": alice.session_id})


class TestTickets:
    def test_a_ticket_is_valid_for_one_of_many_parallel_uses(self, alice: Actor) -> None:
        ticket = sessions.issue_ticket(alice, timedelta(seconds=30), None)

        def redeem(_: int) -> bool:
            try:
                return sessions.redeem_ticket(ticket) == (alice, None)
            except Unauthenticated:
                return False

        assert sorted(in_parallel(redeem, 10)) == [False] * 9 + [True]

    def test_a_ticket_expires(self, alice: Actor) -> None:
        ticket = sessions.issue_ticket(alice, timedelta(seconds=-1), None)

        assert refused(lambda: sessions.redeem_ticket(ticket)) == "ticket_invalid"

    def test_a_ticket_of_an_ended_session_is_refused(self, alice: Actor) -> None:
        ticket = sessions.issue_ticket(alice, timedelta(seconds=30), None)
        sessions.logout_everywhere(alice)

        assert refused(lambda: sessions.redeem_ticket(ticket)) == "session_revoked"

    def test_only_the_hash_of_a_ticket_is_stored(self, alice: Actor) -> None:
        ticket = sessions.issue_ticket(alice, timedelta(seconds=30), None)

        rows = execute("SELECT encode(ticket_hash, 'escape'), expires_at FROM ws_tickets").fetchall()

        assert ticket not in repr(rows)
        assert rows[0][1] > datetime.now(UTC)
