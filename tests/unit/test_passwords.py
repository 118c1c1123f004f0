"""Which passwords are too weak."""

import pytest

from core.passwords import weakness

NAMES = ("alice", "alice.archer@example.com", "Al")


@pytest.mark.parametrize(
    ("password", "problem"),
    [
        ("password1", "most common"),
        ("Qwerty123", "most common"),
        ("my name is Alice!", "name or email"),
        ("ALICE.ARCHER rocks", "name or email"),
        ("alice.archer@example.com", "name or email"),
        ("aaaaaaaaaaaa", "repeats"),
        ("abababababab", "repeats"),
    ],
)
def test_the_weakness_of_a_password_is_explained(password: str, problem: str) -> None:
    found = weakness(password, NAMES)

    assert found is not None
    assert problem in found


@pytest.mark.parametrize("password", ["correct horse battery", "tr0ub4dor&3 ☔", "balance of alpacas", "x7!kQ9#z"])
def test_other_passwords_are_accepted(password: str) -> None:
    assert weakness(password, NAMES) is None


def test_an_account_without_names_is_checked() -> None:
    assert weakness("correct horse battery", (None, None)) is None
