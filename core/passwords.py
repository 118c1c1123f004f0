"""Which passwords are too weak, and the advice that the user gets."""

from collections.abc import Iterable
from functools import cache

from zxcvbn.frequency_lists import FREQUENCY_LISTS

from core.messages import Message, msg

_MIN_NAME_PART_LENGTH = 4


@cache
def _common_passwords() -> frozenset[str]:
    return frozenset(FREQUENCY_LISTS["passwords"])


def weakness(password: str, names: Iterable[str | None]) -> Message | None:
    """Return why a new password is too weak, or None if it is not; `names` are the names of the account."""
    folded = password.casefold()
    if folded in _common_passwords():
        return msg("is one of the most common passwords; a few unrelated words make a better one")
    if any(part in folded for name in names if name for part in _name_parts(name)):
        return msg("holds the account's name or email; choose something that nobody can know of you")
    if len(set(folded)) <= 2:  # noqa: PLR2004 - one or two characters, repeated.
        return msg("repeats one or two characters; a few unrelated words make a better one")
    return None


def _name_parts(name: str) -> Iterable[str]:
    folded = name.casefold()
    parts = {folded, folded.partition("@")[0]}
    return (part for part in parts if len(part) >= _MIN_NAME_PART_LENGTH)
