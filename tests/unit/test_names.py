"""The one normal form of usernames and emails."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.names import has_unseen_characters, name_key, name_keys, normalized

NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=30)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Alice", "aLICE"),
        ("ΟΔΥΣΣΕΥΣ", "οδυσσευς"),
        ("İstanbul", "İSTANBUL"),
        ("\uff57\uff49\uff44\uff45", "Wide"),
        (unicodedata.normalize("NFC", "naïve"), unicodedata.normalize("NFD", "NAÏVE")),
        ("bob@bücher.example", "BOB@xn--bcher-kva.example"),
        ("bob@BÜCHER.example", "\uff42\uff4f\uff42\uff20bücher\uff0eexample"),
        (" alice ", "alice"),
    ],
)
def test_two_ways_to_write_a_name_have_the_same_key(one: str, other: str) -> None:
    assert name_key(one) == name_key(other)


@pytest.mark.parametrize(("one", "other"), [("alice", "alicé"), ("x@straße.example", "x@strasse.example")])
def test_different_names_have_different_keys(one: str, other: str) -> None:
    assert name_key(one) != name_key(other)


@settings(deadline=None)
@given(NAMES | st.builds("{}@{}.example".format, NAMES, NAMES))
def test_a_name_as_typed_and_as_stored_have_the_same_key(name: str) -> None:
    stored = normalized(name)

    assert normalized(stored) == stored
    assert name_key(stored) == name_key(name)


@pytest.mark.parametrize(
    "unseen", ["\x07", "\u200b", "\u200d", "\u202e", "\u2066", "\u00ad", "\ufeff", "\ufe0f", "\u3164"]
)
def test_unseen_characters_are_found(unseen: str) -> None:
    assert has_unseen_characters(f"ali{unseen}ce")


@pytest.mark.parametrize("name", ["alice", "Ζεύς", "अलिस", "爱丽丝", "o'neill", "😀"])
def test_visible_names_have_no_unseen_characters(name: str) -> None:
    assert not has_unseen_characters(name)


def test_keys_belong_to_the_names_that_are_present() -> None:
    assert name_keys({"email": None, "full_name": "X"}) == {"email_key": None}
    assert name_keys({"username": "ALICE"}) == {"username_key": "alice"}
