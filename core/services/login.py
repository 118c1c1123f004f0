"""Logging in, in two steps around the comparison of the password.

Hashing takes a quarter of a second, so it happens between the two steps, outside any transaction and in separate
threads. `begin_login()` counts the attempt and returns the hash to compare with. `finish_login()` gets the result of
the comparison. For an unknown name the password is compared with a dummy hash, so neither the response nor its duration
shows which names exist.
"""

from dataclasses import dataclass
from datetime import timedelta
from functools import cache

from core.db import connected, read, unit_of_work
from core.errors import Unauthenticated
from core.messages import msg
from core.models.account import User
from core.security import hash_password, random_token
from core.services import audit, login_throttle
from core.services.sessions import Client, Grant, open_session

_LOCK_UNCHANGED = """
SELECT FROM users WHERE id = %(user_id)s AND is_active AND password_hash = %(password_hash)s FOR SHARE
"""


@dataclass(frozen=True, slots=True)
class LoginAttempt:
    """A login that waits for the comparison of the password with `password_hash`."""

    identifier: str
    address: str
    password_hash: str
    user_id: int | None


@cache
def dummy_password_hash(bcrypt_rounds: int) -> str:
    """Return a hash that no password matches; comparing with it takes as long as with a real one.

    It is made once in each process.
    """
    return hash_password(random_token(), bcrypt_rounds)


def begin_login(identifier: str, address: str, bcrypt_rounds: int) -> LoginAttempt:
    """Count an attempt to log in with an email or a username, and find the hash that the password must match.

    Raises:
        TooManyRequests: with code `login_delayed`, if too many attempts have failed lately.
    """
    with connected():
        user = User.named(identifier)
    user_id = None if user is None else user.id
    login_throttle.count_attempt(identifier, address, user_id)
    if user is None:
        return LoginAttempt(identifier, address, dummy_password_hash(bcrypt_rounds), None)
    return LoginAttempt(identifier, address, user.password_hash, user.id)


def finish_login(attempt: LoginAttempt, client: Client, lifetime: timedelta, *, matches: bool) -> Grant:
    """Begin a session, if the password matches.

    Raises:
        Unauthenticated: with code `invalid_credentials`, if it does not, if the account is unknown or disabled, or if
            its password was replaced during the comparison.
    """
    with unit_of_work():
        if attempt.user_id is not None and matches and _may_log_in(attempt):
            login_throttle.clear_failures(attempt.identifier, attempt.address, attempt.user_id)
            return open_session(attempt.user_id, client, lifetime)
        audit.record(audit.LOGIN_FAILED, user_id=attempt.user_id)
    raise Unauthenticated(msg("The name or the password is wrong."), code="invalid_credentials")


def _may_log_in(attempt: LoginAttempt) -> bool:
    """Whether the account is active and still has the hash that was compared; neither changes until the commit.

    A change of the password ends all sessions. A login that began before it must not open another one after it.
    """
    about = {"user_id": attempt.user_id, "password_hash": attempt.password_hash}
    return read(_LOCK_UNCHANGED, about).fetch_one() is not None
