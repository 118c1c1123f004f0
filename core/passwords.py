"""Which passwords are too weak, and the advice that the user gets."""

from collections.abc import Iterable
from functools import cache
from typing import Final

from zxcvbn import zxcvbn
from zxcvbn.frequency_lists import FREQUENCY_LISTS
from zxcvbn.matching import L33T_TABLE

from core.errors import FieldError, Invalid
from core.messages import Message, msg

# Attackers try these words first. docs/api.md lists them.
_PRODUCT_WORDS: Final = ("allweather",)
_MIN_NAME_PART_LENGTH: Final = 4
# The time that zxcvbn needs grows with the square of the length, and much faster with the number of different signs
# that may stand for a letter, such as @ for a. So it gets only the beginning of a password, which the whole password
# is at least as hard to guess as.
_ESTIMATED_LENGTH: Final = 64
_ESTIMATED_SIGNS: Final = 8
_SIGNS: Final = frozenset(sign for signs in L33T_TABLE.values() for sign in signs)


@cache
def _common_passwords() -> frozenset[str]:
    return frozenset(FREQUENCY_LISTS["passwords"])


def require_strong_password(password: str, names: Iterable[str | None], min_score: int) -> None:
    """Refuse a new password that is easy to guess; the arguments are those of `weakness()`.

    Raises:
        Invalid: with what is wrong with the password.
    """
    if (problem := weakness(password, names, min_score)) is not None:
        raise Invalid([FieldError("password", problem)])


def weakness(password: str, names: Iterable[str | None], min_score: int) -> Message | None:
    """Return why a new password is too weak, or None if it is not.

    Args:
        password: The new password.
        names: The names of the account.
        min_score: The least score that zxcvbn must give, from 0 (any) to 4 (very hard to guess). Common passwords and
            passwords that contain a name of the account or of this product are refused in any case.
    """
    known_names = [name for name in names if name]
    folded = password.casefold()
    if folded in _common_passwords():
        return msg("is one of the most common passwords; a few unrelated words make a better one")
    if any(part in folded for name in known_names for part in _name_parts(name)):
        return msg("holds the account's name or email; choose something that nobody can know of you")
    if len(set(folded)) <= 2:  # noqa: PLR2004 - one or two characters, repeated.
        return msg("repeats one or two characters; a few unrelated words make a better one")
    if any(word in folded for word in _PRODUCT_WORDS) or _score(password, known_names, min_score) < min_score:
        return msg("is too easy to guess; a few unrelated words make a better one")
    return None


def _score(password: str, known_names: list[str], needed: int) -> int:
    """Return the score of a password, or 0 without an estimate, which takes time, if no score is needed."""
    return int(zxcvbn(_estimated_part(password), user_inputs=known_names)["score"]) if needed else 0


def _estimated_part(password: str) -> str:
    """Return the beginning of a password that zxcvbn can estimate in a fraction of a second."""
    signs: set[str] = set()
    for position, character in enumerate(password[:_ESTIMATED_LENGTH]):
        if character in _SIGNS:
            signs.add(character)
        if len(signs) > _ESTIMATED_SIGNS:
            return password[:position]
    return password[:_ESTIMATED_LENGTH]


def _name_parts(name: str) -> Iterable[str]:
    folded = name.casefold()
    parts = {folded, folded.partition("@")[0]}
    return (part for part in parts if len(part) >= _MIN_NAME_PART_LENGTH)
