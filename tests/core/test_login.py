"""Logging in: what a session needs, and what is recorded about a failed attempt."""

from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta

import orjson
import pytest

from core.db import unit_of_work
from core.errors import TooManyRequests, Unauthenticated
from core.models.account import Session, User
from core.policy import Actor
from core.security import verify_password
from core.services import login, sessions
from core.services.sessions import Client, Grant
from tests.builders import BCRYPT_ROUNDS, PASSWORD
from tests.sql import execute

pytestmark = pytest.mark.usefixtures("database")

CLIENT = Client("192.0.2.7", "a browser")
FREE_ATTEMPTS = 5


def log_in(identifier: str, password: str) -> Grant:
    attempt = login.begin_login(identifier, CLIENT.ip_address, BCRYPT_ROUNDS)
    matches = verify_password(password, attempt.password_hash)
    return login.finish_login(attempt, CLIENT, timedelta(days=1), matches=matches)


def audited() -> list[tuple[str, int | None]]:
    rows: list[tuple[str, int | None]] = execute("SELECT action, user_id FROM audit_log ORDER BY id").fetchall()
    return rows


@pytest.mark.parametrize("identifier", ["alice", "ALICE", "Alice@Example.com"])
def test_the_right_password_opens_a_session(identifier: str, alice: Actor) -> None:
    grant = log_in(identifier, PASSWORD)

    assert grant.user_id == alice.user_id
    assert orjson.loads(grant.profile)["username"] == "alice"
    assert sessions.session_actor(grant.session_id).user_id == alice.user_id
    begun = Session.get_by_id(grant.session_id)
    assert (begun.ip_address, begun.user_agent) == ("192.0.2.7", "a browser")
    assert audited()[-1] == ("login.succeeded", alice.user_id)


def test_a_wrong_password_opens_no_session_and_is_recorded(alice: Actor) -> None:
    with pytest.raises(Unauthenticated) as failure:
        log_in("alice", "wrong")

    assert failure.value.stable_code == "invalid_credentials"
    assert audited()[-1] == ("login.failed", alice.user_id)
    assert Session.select().count() == 1


def test_a_disabled_account_gets_the_same_error(alice: Actor) -> None:
    execute("UPDATE users SET is_active = false WHERE id = %s", (alice.user_id,))

    with pytest.raises(Unauthenticated) as failure:
        log_in("alice", PASSWORD)

    assert failure.value.stable_code == "invalid_credentials"


@pytest.mark.parametrize("change", ["password_hash = 'another'", "is_active = false"])
def test_a_login_that_began_before_the_account_changed_opens_no_session(change: str, alice: Actor) -> None:
    """Otherwise somebody who knows the old password could get a session just after a reset has ended all others."""
    attempt = login.begin_login("alice", CLIENT.ip_address, BCRYPT_ROUNDS)
    execute(f"UPDATE users SET {change} WHERE id = %s", (alice.user_id,))

    with pytest.raises(Unauthenticated) as failure:
        login.finish_login(attempt, CLIENT, timedelta(days=1), matches=True)

    assert failure.value.stable_code == "invalid_credentials"
    assert Session.select().count() == 1


def test_a_login_waits_for_a_change_of_the_password_that_is_being_stored(
    alice: Actor, start_blocked: Callable[..., Future[Grant]]
) -> None:
    attempt = login.begin_login("alice", CLIENT.ip_address, BCRYPT_ROUNDS)
    with unit_of_work():
        User.update(password_hash="another").where(User.id == alice.user_id).execute()
        finishing = start_blocked(login.finish_login, attempt, CLIENT, timedelta(days=1), matches=True)

    with pytest.raises(Unauthenticated):
        finishing.result()


def test_an_unknown_name_gets_the_same_error_and_is_not_stored() -> None:
    with pytest.raises(Unauthenticated) as failure:
        log_in("nobody", PASSWORD)

    assert failure.value.stable_code == "invalid_credentials"
    assert audited() == [("login.failed", None)]
    assert "nobody" not in repr(execute("SELECT * FROM audit_log").fetchall())


def test_an_unknown_name_gets_no_session_even_if_the_hash_matches() -> None:
    attempt = login.begin_login("nobody", CLIENT.ip_address, BCRYPT_ROUNDS)

    with pytest.raises(Unauthenticated):
        login.finish_login(attempt, CLIENT, timedelta(days=1), matches=True)

    assert Session.select().count() == 0


def test_the_hash_for_unknown_names_has_the_usual_bcrypt_rounds() -> None:
    attempt = login.begin_login("nobody", CLIENT.ip_address, BCRYPT_ROUNDS)

    assert attempt.password_hash == login.dummy_password_hash(BCRYPT_ROUNDS)
    assert attempt.password_hash.split("$")[2] == f"{BCRYPT_ROUNDS:02}"


def test_too_many_failures_are_refused_before_the_password_is_checked(alice: Actor) -> None:
    for _ in range(FREE_ATTEMPTS + 1):
        with pytest.raises(Unauthenticated):
            log_in("alice", "wrong")

    with pytest.raises(TooManyRequests) as failure:
        login.begin_login("alice", CLIENT.ip_address, BCRYPT_ROUNDS)

    assert failure.value.stable_code == "login_delayed"


def test_the_right_password_deletes_earlier_failures(alice: Actor) -> None:
    for _ in range(FREE_ATTEMPTS):
        with pytest.raises(Unauthenticated):
            log_in("alice", "wrong")

    log_in("alice", PASSWORD)

    assert execute("SELECT count(*) FROM login_failures").fetchone() == (0,)
