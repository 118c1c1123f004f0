"""Confirming the own password: failures are counted with those of logins, and recorded."""

import pytest

from core.errors import Invalid, TooManyRequests
from core.policy import Actor
from core.security import verify_password
from core.services import confirmation
from tests.builders import PASSWORD
from tests.sql import execute

pytestmark = pytest.mark.usefixtures("database")

ADDRESS = "192.0.2.7"
FREE_ATTEMPTS = 5


def confirm(actor: Actor, password: str, address: str = ADDRESS) -> None:
    attempt = confirmation.begin(actor, address)
    confirmation.finish(attempt, matches=verify_password(password, attempt.password_hash))


def refuse(actor: Actor, times: int) -> None:
    for _ in range(times):
        with pytest.raises(Invalid):
            confirm(actor, "wrong")


def test_a_wrong_password_is_refused_and_recorded(alice: Actor) -> None:
    with pytest.raises(Invalid) as failure:
        confirm(alice, "wrong")

    assert [error.field for error in failure.value.errors] == ["current_password"]
    last = execute("SELECT action, user_id FROM audit_log ORDER BY id DESC LIMIT 1").fetchone()
    assert last == ("password.refused", alice.user_id)


def test_too_many_failures_are_refused_before_the_password_is_checked(alice: Actor) -> None:
    refuse(alice, FREE_ATTEMPTS + 1)

    with pytest.raises(TooManyRequests) as failure:
        confirmation.begin(alice, ADDRESS)

    assert failure.value.stable_code == "login_delayed"


def test_the_right_password_deletes_the_failures(alice: Actor) -> None:
    refuse(alice, FREE_ATTEMPTS)
    confirm(alice, PASSWORD)

    assert execute("SELECT count(*) FROM login_failures").fetchone() == (0,)


def test_failures_of_others_do_not_count(alice: Actor, mallory: Actor) -> None:
    refuse(mallory, FREE_ATTEMPTS + 1)

    confirm(alice, PASSWORD)


def test_failures_from_elsewhere_do_not_delay_the_owner(alice: Actor) -> None:
    for number in range(31):
        with pytest.raises(Invalid):
            confirm(alice, "wrong", f"10.0.0.{number}")

    with pytest.raises(TooManyRequests):
        confirmation.begin(alice, "10.9.9.9")
    confirm(alice, PASSWORD, address="127.0.0.1")
