"""Failed logins delay further attempts, but not those of the account's owner."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from core.db import unit_of_work
from core.errors import TooManyRequests
from core.policy import Actor
from core.services import login_throttle, sessions
from tests.sql import execute
from tests.threads import in_parallel

pytestmark = pytest.mark.usefixtures("database")
HERE, ELSEWHERE = "203.0.113.9", "198.51.100.1"


def delay(identifier: str = "alice", address: str = HERE, user_id: int | None = None) -> int:
    """Count a failed attempt and return for how many seconds it was refused; 0 if it was allowed."""
    try:
        login_throttle.count_attempt(identifier, address, user_id)
    except TooManyRequests as refusal:
        return refusal.retry_after
    return 0


def end_the_wait() -> None:
    with unit_of_work():
        execute("UPDATE login_failures SET blocked_until = now()")


def test_after_a_few_failures_each_further_one_doubles_the_wait() -> None:
    free = [delay() for _ in range(6)]
    waits = []
    for _ in range(4):
        waits.append(delay())
        end_the_wait()
        delay()

    assert free == [0] * 6
    assert waits == [1, 2, 4, 8]


def test_the_wait_has_a_maximum() -> None:
    for _ in range(40):
        delay()
        end_the_wait()
    delay()

    assert 890 <= delay() <= 900


def test_other_names_and_addresses_are_not_delayed() -> None:
    for _ in range(8):
        delay()

    assert delay() > 0
    assert delay("bob") == 0
    assert delay(address=ELSEWHERE) == 0


def test_names_are_counted_regardless_of_case() -> None:
    for _ in range(7):
        delay("alice")

    assert delay("ALICE") > 0


def test_failures_of_an_account_count_together_whichever_of_its_names_is_typed(alice: Actor) -> None:
    waits = [
        delay(name, user_id=alice.user_id)
        for name in ("alice", "ALICE@example.com", "\uff41\uff4c\uff49\uff43\uff45", "alice@example.com") * 2
    ]

    assert waits[:6] == [0] * 6
    assert waits[-1] > 0


def test_failures_for_one_name_from_many_addresses_are_delayed() -> None:
    waits = [delay(address=f"10.0.0.{number}") for number in range(40)]

    assert waits[:31] == [0] * 31
    assert waits[-1] > 0


def test_addresses_of_one_ipv6_network_are_counted_together() -> None:
    waits = [delay(address=f"2001:db8:1:2::{number}") for number in range(7)]

    assert waits == [0] * 6 + [1]
    assert delay(address="2001:db8:1:3::1") == 0


def test_a_known_ipv6_network_of_the_account_is_not_delayed(alice: Actor) -> None:
    sessions.open_session(alice.user_id, sessions.Client("2001:db8:1:2::1", None), timedelta(days=1))
    for number in range(40):
        delay(address=f"10.0.0.{number}", user_id=alice.user_id)

    assert delay(address="2001:db8:1:3::1", user_id=alice.user_id) > 0
    assert delay(address="2001:db8:1:2:ffff::9", user_id=alice.user_id) == 0


def test_a_known_address_of_the_account_is_not_delayed(alice: Actor) -> None:
    for number in range(40):
        delay(address=f"10.0.0.{number}", user_id=alice.user_id)

    assert delay(address="10.9.9.9", user_id=alice.user_id) > 0
    assert delay(address="127.0.0.1", user_id=alice.user_id) == 0


def test_the_right_password_resets_the_failures(alice: Actor) -> None:
    for _ in range(6):
        delay(user_id=alice.user_id)
    login_throttle.clear_failures("alice", HERE, alice.user_id)

    assert [delay(user_id=alice.user_id) for _ in range(6)] == [0] * 6


def test_parallel_attempts_are_counted() -> None:
    waits = in_parallel(lambda _: delay(), 20)

    assert waits.count(0) == 6


def test_the_count_is_reset_after_a_day() -> None:
    for _ in range(7):
        delay()
    with unit_of_work():
        execute("UPDATE login_failures SET failed_at = now() - interval '25 hours', blocked_until = now()")

    assert [delay() for _ in range(6)] == [0] * 6


@pytest.fixture
def stored_failures() -> Callable[[], str]:
    return lambda: repr(execute("SELECT * FROM login_failures").fetchall())


def test_the_attempted_name_is_not_stored_as_text(stored_failures: Callable[[], str]) -> None:
    delay("a-name-that-somebody-tried")

    assert "somebody" not in stored_failures()


def test_after_a_reset_of_the_password_the_owner_is_not_delayed(alice: Actor, bob: Actor) -> None:
    for _ in range(8):
        delay(user_id=alice.user_id)
        delay("bob", user_id=bob.user_id)

    with unit_of_work():
        login_throttle.forgive(alice.user_id, HERE)

    assert delay(user_id=alice.user_id) == 0
    assert delay("bob", user_id=bob.user_id) > 0


def test_after_a_reset_of_the_password_failures_from_all_addresses_are_forgotten(alice: Actor) -> None:
    for number in range(32):
        delay(address=f"198.51.100.{number}", user_id=alice.user_id)
    assert delay(user_id=alice.user_id) > 0

    with unit_of_work():
        login_throttle.forgive(alice.user_id, HERE)

    assert delay(user_id=alice.user_id) == 0
