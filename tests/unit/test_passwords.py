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
        ("AllWeather-2026", "easy to guess"),
    ],
)
def test_the_weakness_of_a_password_is_explained(password: str, problem: str) -> None:
    found = weakness(password, NAMES, 0)

    assert found is not None
    assert problem in found


@pytest.mark.parametrize("password", ["correct horse battery", "tr0ub4dor&3 ☔", "balance of alpacas", "x7!kQ9#z"])
def test_other_passwords_are_accepted(password: str) -> None:
    assert weakness(password, NAMES, 0) is None


def test_an_account_without_names_is_checked() -> None:
    assert weakness("correct horse battery", (None, None), 0) is None


@pytest.mark.parametrize(("password", "min_score"), [("gr8 wall", 3), ("alice.archer rode", 1), ("summer2024!", 4)])
def test_a_minimum_score_refuses_what_zxcvbn_finds_easy_to_guess(password: str, min_score: int) -> None:
    assert weakness("correct horse battery staple", NAMES, min_score) is None
    assert weakness(password, NAMES, min_score) is not None


@pytest.mark.parametrize(
    ("password", "length"),
    [
        ("correct horse " * 70, 64),
        ("4@8({[<369!|1$5+7%2" * 4, 8),
        ("x4x@x8x(x{x[x<x3x6x9x!x|x1", 17),
        ("44668800" * 7, 56),
    ],
)
def test_zxcvbn_gets_only_as_much_as_it_can_estimate_quickly(
    password: str, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    estimated: list[str] = []

    def estimate(password: str, user_inputs: list[str]) -> dict[str, int]:
        estimated.append(password)
        return {"score": 4}

    monkeypatch.setattr("core.passwords.zxcvbn", estimate)

    assert weakness(password, NAMES, 4) is None
    assert estimated == [password[:length]]
