"""What users have written, as it stands in mails."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.mail_texts import LONGEST_LINE, one_line, one_line_without_links, quoted

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Clean\nthe\r\n\tgutters", "Clean the gutters"),
        ("two\u2028lines\u2029or\x85three", "two lines or three"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("\u202egpj.exe\u2066", "gpj.exe"),
        ("bell\x07 and \x1b[31mred", "bell and [31mred"),
        ("Bonjour, Zoë: “ça va”", "Bonjour, Zoë: “ça va”"),
    ],
)
def test_a_line_has_only_characters_that_can_be_seen(text: str, expected: str) -> None:
    assert one_line(text) == expected


@given(TEXTS)
def test_no_text_makes_a_second_line_or_a_long_one(text: str) -> None:
    line = one_line(text)

    assert len(line.splitlines()) <= 1
    assert len(line) <= LONGEST_LINE
    assert not [character for character in line if unicodedata.category(character)[0] == "C"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://evil.example/a?b=c", "https[:]//evil[.]example/a?b=c"),
        ("HTTP://10.0.0.1", "HTTP[:]//10.0.0.1"),
        ("www.evil.example", "www[.]evil[.]example"),
        ("WWW.1.2", "WWW[.]1.2"),
        ("see evil.example.", "see evil[.]example."),
        ("evil\u3002example and evil\uff0eexample", "evil[\u3002]example and evil[\uff0e]example"),
        ("пример.рф and मेल.भारत", "пример[.]рф and मेल[.]भारत"),
        ("mallory@evil.example", "mallory@evil[.]example"),
        ("mailto:mallory@localhost", "mailto[:]mallory@localhost"),
        ("tel:+4912345", "tel[:]+4912345"),
        (r"\\evil\share", r"[\\]evil\share"),
        ("evil.\u200bexample", "evil[.]example"),
    ],
)
def test_no_link_stays_one(text: str, expected: str) -> None:
    assert one_line_without_links(text) == expected


@pytest.mark.parametrize(
    "text", ["At 12:30, 2.5 km", "e.g. the roof", "Done... and then?", "First: the ladder. Then the roof.", "v1.2.3"]
)
def test_text_without_links_does_not_change(text: str) -> None:
    assert one_line_without_links(text) == text


@given(TEXTS, st.sampled_from(["http://", "https://", "www.", "evil.example", "ftp://evil.example"]), TEXTS)
def test_a_link_anywhere_is_broken(before: str, link: str, after: str) -> None:
    text = quoted(f"{before} {link}evil.example {after}")

    assert not re.search(r"://|www\.|evil\.example", text)


def test_each_line_of_a_quotation_is_marked_and_their_number_is_bounded() -> None:
    assert quoted("First\r\n\r\nThe task:\x07 http://evil.example") == "> First\n>\n> The task: http[:]//evil[.]example"
    assert quoted("x\n" * 100).splitlines() == ["> x"] * 40 + ["> …"]
    assert len(quoted("x" * 5000)) == len("> ") + 2000
