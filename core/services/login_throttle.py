"""A limit on guessing passwords: failed logins are counted in PostgreSQL, so it also works while Redis is down.

Failures are counted for an account from one address, and for an account from all addresses. The first few have no
effect. After that each failure doubles the time in which further attempts are refused without checking the password. No
account is locked out permanently. Failures from other addresses are ignored if the account has logged in from this
address before.
Addresses of IPv6 are counted by their network (`core.addresses`).

An attempt is counted before its password is compared, so that attempts at the same time are counted too. The count is
deleted when the password was right. Names without an account are counted in the same way.
"""

import hashlib
from dataclasses import dataclass
from typing import Any, Final

from core.addresses import counted_address
from core.db import read, unit_of_work, write
from core.errors import TooManyRequests
from core.messages import msg
from core.names import name_key
from core.services import audit

_FREE_FROM_ONE_ADDRESS: Final = 5
_FREE_FROM_EVERYWHERE: Final = 30
_LONGEST_DELAY_SECONDS: Final = 900

# This uses clock_timestamp(), since now() is the time at which the transaction began, before it waited for a lock.
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

_SESSION_ADDRESSES = """
SELECT DISTINCT ip_address FROM sessions WHERE user_id = %(user_id)s AND ip_address IS NOT NULL
"""


@dataclass(frozen=True, slots=True)
class _Subject:
    """The account or name, or this and the address, whose failures are counted.

    It is hashed, so that the table shows no names.
    """

    key: bytes
    free_failures: int


def count_attempt(identifier: str, address: str, user_id: int | None) -> None:
    """Count an attempt to log in; a refused one is recorded in the audit log.

    Raises:
        TooManyRequests: with code `login_delayed`, if too many attempts have failed lately.
    """
    with unit_of_work():
        refusals = [_refusal(subject) for subject in _subjects(identifier, address, user_id)]
        if any(refusals):
            audit.record(audit.LOGIN_DELAYED, user_id=user_id)
    if any(refusals):
        raise TooManyRequests(
            msg("Too many attempts have failed. Please wait before the next."), max(refusals), code="login_delayed"
        )


def clear_failures(identifier: str, address: str, user_id: int) -> None:
    """Delete the counted failures of this name from this address, after the right password."""
    keys = [subject.key for subject in _subjects(identifier, address, user_id)]
    with unit_of_work():
        write("DELETE FROM login_failures WHERE subject = ANY(%s)", (keys,))


def forgive(user_id: int, address: str) -> None:
    """Delete the counted failures of an account, from this address and from all addresses, in the running unit of work.

    The owner, whose password was replaced, can then log in at once.
    """
    name = ("account", str(user_id))
    keys = [_key("address", *name, counted_address(address)), _key("everywhere", *name)]
    write("DELETE FROM login_failures WHERE subject = ANY(%s)", (keys,))


def _refusal(subject: _Subject) -> int:
    """Count one attempt; returns 0, or the seconds for which attempts are refused."""
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
    # All names of an account count together. A name without an account has a count of its own.
    name = ("name", name_key(identifier)) if user_id is None else ("account", str(user_id))
    network = counted_address(address)
    subjects = [_Subject(_key("address", *name, network), _FREE_FROM_ONE_ADDRESS)]
    if not _has_session_from(user_id, network):
        subjects.append(_Subject(_key("everywhere", *name), _FREE_FROM_EVERYWHERE))
    return subjects


def _has_session_from(user_id: int | None, network: str) -> bool:
    addresses = read(_SESSION_ADDRESSES, {"user_id": user_id}).fetch_all()
    return any(counted_address(address) == network for (address,) in addresses)


def _key(*parts: str) -> bytes:
    return hashlib.sha256("\x00".join(parts).encode()).digest()
