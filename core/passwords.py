"""Which passwords are too weak to be taken, and what to do about it."""

from collections.abc import Iterable
from functools import cache

from zxcvbn.frequency_lists import FREQUENCY_LISTS

from core.messages import Message, msg

_SHORTEST_TELLING_NAME = 4


@cache
def _common_passwords() -> frozenset[str]:
    return frozenset(FREQUENCY_LISTS["passwords"])


def weakness(password: str, names: Iterable[str | None]) -> Message | None:
    """Tell what is wrong with a new password, or None where nothing is; `names` are those of the account."""
    folded = password.casefold()
    if folded in _common_passwords():
        return msg("is one of the most common passwords; a few unrelated words make a better one")
    if any(part in folded for name in names if name for part in _telling_parts(name)):
        return msg("holds the account's name or email; choose something that nobody can know of you")
    if len(set(folded)) <= 2:  # noqa: PLR2004 - one or two characters, repeated.
        return msg("repeats one or two characters; a few unrelated words make a better one")
    return None


def _telling_parts(name: str) -> Iterable[str]:
    folded = name.casefold()
    parts = {folded, folded.partition("@")[0]}
    return (part for part in parts if len(part) >= _SHORTEST_TELLING_NAME)
