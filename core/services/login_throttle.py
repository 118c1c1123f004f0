"""Guessing passwords made slow: failed logins are counted in PostgreSQL, so they count while Redis is down, too.

Failures are counted for a name from one address and for a name from everywhere. Beyond a few, each one doubles the
time during which the next is refused unseen. Nobody is locked out for good, and who comes from an address at which the
account has logged in before does not suffer from what others do elsewhere. An attempt is counted before its password is
looked at, so attempts that come at once count as well, and taken back when the password was right. Names that belong
to nobody count like others.
"""

import hashlib
from dataclasses import dataclass
from typing import Any, Final

from core.db import read, unit_of_work, write
from core.errors import TooManyRequests
from core.messages import msg

_FREE_FROM_ONE_ADDRESS: Final = 5
_FREE_FROM_EVERYWHERE: Final = 30
_LONGEST_DELAY_SECONDS: Final = 900

# By the clock, since a transaction that waits for another one must not judge by the time at which it began.
_COUNT = """
INSERT INTO login_failures AS f (subject, failures, failed_at, blocked_until)
VALUES (%(subject)s, 1, clock_timestamp(), clock_timestamp())
ON CONFLICT (subject) DO UPDATE SET
    failures = CASE WHEN f.failed_at < clock_timestamp() - interval '1 day' THEN 1 ELSE f.failures + 1 END,
    failed_at = clock_timestamp(),
    blocked_until = clock_timestamp() + make_interval(secs => CASE
        WHEN f.failed_at < clock_timestamp() - interval '1 day' OR f.failures < %(free)s THEN 0
        ELSE least(power(2, least(f.failures - %(free)s, 20)), %(longest)s) END)
WHERE f.blocked_until <= clock_timestamp()
RETURNING failures
"""

_REMAINING = """
SELECT ceil(extract(epoch FROM blocked_until - clock_timestamp()))::int FROM login_failures WHERE subject = %(subject)s
"""

_IS_FAMILIAR = """
SELECT EXISTS (SELECT FROM sessions WHERE user_id = %(user_id)s AND ip_address = %(address)s)
"""


@dataclass(frozen=True, slots=True)
class _Subject:
    """What failures are counted for, as a hash: the table is no list of the names that people tried."""

    key: bytes
    free_failures: int


def count_attempt(identifier: str, address: str, user_id: int | None) -> None:
    """Count an attempt to log in as somebody.

    Raises:
        TooManyRequests: with code `login_delayed`, where too many attempts have failed lately.
    """
    with unit_of_work():
        refusals = [_refusal(subject) for subject in _subjects(identifier, address, user_id)]
    if any(refusals):
        raise TooManyRequests(
            msg("Too many attempts have failed. Please wait before the next."), max(refusals), code="login_delayed"
        )


def forgive(identifier: str, address: str, user_id: int) -> None:
    """Take the failures of this name from this address back: the password was right."""
    keys = [subject.key for subject in _subjects(identifier, address, user_id)]
    with unit_of_work():
        write("DELETE FROM login_failures WHERE subject = ANY(%s)", (keys,))


def _refusal(subject: _Subject) -> int:
    """Count one attempt; answers 0, or for how many seconds attempts are refused."""
    parameters: dict[str, Any] = {
        "subject": subject.key,
        "free": subject.free_failures,
        "longest": _LONGEST_DELAY_SECONDS,
    }
    if write(_COUNT, parameters).fetch_one() is not None:
        return 0
    remaining = read(_REMAINING, parameters).fetch_one()
    return 1 if remaining is None else max(int(remaining[0]), 1)


def _subjects(identifier: str, address: str, user_id: int | None) -> list[_Subject]:
    name = identifier.casefold()
    subjects = [_Subject(_key("address", name, address), _FREE_FROM_ONE_ADDRESS)]
    if not _is_familiar(user_id, address):
        subjects.append(_Subject(_key("everywhere", name), _FREE_FROM_EVERYWHERE))
    return subjects


def _is_familiar(user_id: int | None, address: str) -> bool:
    return bool(read(_IS_FAMILIAR, {"user_id": user_id, "address": address}).fetch_value())


def _key(*parts: str) -> bytes:
    return hashlib.sha256("\x00".join(parts).encode()).digest()
