"""Guessing passwords is slow, for whoever guesses, and not for the account's owner."""

from collections.abc import Callable

import pytest

from core.db import unit_of_work
from core.errors import TooManyRequests
from core.policy import Actor
from core.services import login_throttle
from tests.sql import execute
from tests.threads import at_once

pytestmark = pytest.mark.usefixtures("database")
HERE, ELSEWHERE = "203.0.113.9", "198.51.100.1"


def delay(identifier: str = "alice", address: str = HERE, user_id: int | None = None) -> int:
    """Make an attempt that fails; answers for how many seconds it was refused."""
    try:
        login_throttle.count_attempt(identifier, address, user_id)
    except TooManyRequests as refusal:
        return refusal.retry_after
    return 0


def let_it_pass() -> None:
    with unit_of_work():
        execute("UPDATE login_failures SET blocked_until = now()")


def test_a_few_failures_are_free_and_then_each_one_doubles_the_wait() -> None:
    free = [delay() for _ in range(6)]
    waits = []
    for _ in range(4):
        waits.append(delay())
        let_it_pass()
        delay()

    assert free == [0] * 6
    assert waits == [1, 2, 4, 8]


def test_the_wait_is_bounded() -> None:
    for _ in range(40):
        delay()
        let_it_pass()
    delay()

    assert 890 <= delay() <= 900


def test_other_names_and_other_addresses_are_not_held_up() -> None:
    for _ in range(8):
        delay()

    assert delay() > 0
    assert delay("bob") == 0
    assert delay(address=ELSEWHERE) == 0


def test_case_makes_no_other_name() -> None:
    for _ in range(7):
        delay("alice")

    assert delay("ALICE") > 0


def test_guesses_from_everywhere_at_one_name_are_held_up_too() -> None:
    waits = [delay(address=f"10.0.0.{number}") for number in range(40)]

    assert waits[:31] == [0] * 31
    assert waits[-1] > 0


def test_who_comes_from_where_they_have_been_before_does_not_suffer_from_it(alice: Actor) -> None:
    for number in range(40):
        delay(address=f"10.0.0.{number}", user_id=alice.user_id)

    assert delay(address="10.9.9.9", user_id=alice.user_id) > 0
    assert delay(address="127.0.0.1", user_id=alice.user_id) == 0


def test_the_right_password_takes_the_failures_back(alice: Actor) -> None:
    for _ in range(6):
        delay(user_id=alice.user_id)
    login_throttle.clear_failures("alice", HERE, alice.user_id)

    assert [delay(user_id=alice.user_id) for _ in range(6)] == [0] * 6


def test_attempts_that_come_at_once_count_as_well() -> None:
    waits = at_once(lambda _: delay(), 20)

    assert waits.count(0) == 6


def test_after_a_day_the_count_begins_anew() -> None:
    for _ in range(7):
        delay()
    with unit_of_work():
        execute("UPDATE login_failures SET failed_at = now() - interval '25 hours', blocked_until = now()")

    assert [delay() for _ in range(6)] == [0] * 6


@pytest.fixture
def names_kept() -> Callable[[], str]:
    return lambda: repr(execute("SELECT * FROM login_failures").fetchall())


def test_the_table_is_no_list_of_names(names_kept: Callable[[], str]) -> None:
    delay("a-name-that-somebody-tried")

    assert "somebody" not in names_kept()
