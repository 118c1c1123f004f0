"""Checking the caller's own password again, in two steps around the comparison, like a login.

Failures count together with failed logins of the account. Otherwise somebody who uses another person's open session
could guess that person's password here, as often as the rate limit allows.
"""

from dataclasses import dataclass

from core.db import connected, unit_of_work
from core.errors import FieldError, Invalid
from core.messages import msg
from core.models.account import User
from core.policy import Actor
from core.services import audit, login_throttle


@dataclass(frozen=True, slots=True)
class Attempt:
    """A password of an account that waits for the comparison with `password_hash`."""

    user_id: int
    username: str
    address: str
    password_hash: str


def begin(actor: Actor, address: str) -> Attempt:
    """Count an attempt, and find the hash that the caller's password must match.

    Raises:
        TooManyRequests: with code `login_delayed`, if too many attempts have failed lately.
    """
    with connected():
        user: User = User.get_by_id(actor.user_id)
    login_throttle.count_attempt(user.username, address, user.id)
    return Attempt(user.id, user.username, address, user.password_hash)


def finish(attempt: Attempt, *, matches: bool) -> None:
    """Require that the password was right, and delete the count of failures.

    Raises:
        Invalid: if the password was wrong.
    """
    if not matches:
        with unit_of_work():
            audit.record(audit.PASSWORD_REFUSED, user_id=attempt.user_id)
        raise Invalid([FieldError("current_password", msg("is wrong"))])
    login_throttle.clear_failures(attempt.username, attempt.address, attempt.user_id)
