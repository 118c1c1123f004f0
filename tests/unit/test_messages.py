"""No text is missing in any language, and each reader gets theirs."""

import string
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from core import messages
from core.messages import LANGUAGES, SOURCE_LANGUAGE, Message, language_of, msg, preferred_language, translate

ROOT = Path(__file__).resolve().parents[2]
TRANSLATED = [language for language in LANGUAGES if language != SOURCE_LANGUAGE]


def marked() -> set[str]:
    """Every text that the code marks."""
    found = (
        extract_from_dir(ROOT / room, [("**.py", "python")], keywords={"msg": None})
        for room in ("api", "core", "worker")
    )
    return {str(text) for room in found for _, _, text, *_ in room}


def catalogue(language: str) -> dict[str, str]:
    with (messages.DIRECTORY / language / "LC_MESSAGES" / "messages.po").open("rb") as file:
        return {str(m.id): str(m.string) for m in read_po(file, locale=language) if m.id and not m.fuzzy}


def placeholders(text: str) -> list[str]:
    return sorted(name for _, name, _, _ in string.Formatter().parse(text) if name)


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_text_is_translated_and_no_other(language: str) -> None:
    translated = {text for text, translation in catalogue(language).items() if translation}

    assert sorted(marked() ^ translated) == []


@pytest.mark.parametrize("language", TRANSLATED)
def test_translations_say_the_same_things(language: str) -> None:
    assert [
        text
        for text, translation in catalogue(language).items()
        if placeholders(text) != placeholders(translation) or text.endswith(".") != translation.endswith(".")
    ] == []


@pytest.mark.parametrize("language", TRANSLATED)
def test_translations_are_not_english(language: str) -> None:
    """A word or two may be the same in both languages; a sentence may not."""
    assert [text for text, translation in catalogue(language).items() if text == translation and " " in text] == []


def test_parameters_that_are_texts_are_translated_too() -> None:
    text = msg("the password {problem}", problem=msg("is required"))

    assert str(text) == "the password is required"
    assert translate(text, "de") == catalogue("de")["the password {problem}"].format(
        problem=catalogue("de")["is required"]
    )


def test_braces_of_others_are_left_alone() -> None:
    text = msg("The task “{title}” is overdue.", title="{secret} {0}")

    assert "{secret} {0}" in translate(text, "fr")
    assert "{secret} {0}" in text


def test_what_is_not_marked_stays() -> None:
    assert translate("There is no such task.", "de") == "There is no such task."
    assert translate(Message("Never heard of."), "de") == "Never heard of."


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("de", "de"),
        ("de-AT, en;q=0.5", "de"),
        ("en;q=0.1, fr;q=0.9", "fr"),
        ("pt, ru;q=0.3, es;q=0.4", "es"),
        ("en-US,en;q=0.9,de;q=0.8", "en"),
        ("de;q=0, fr;q=0.1", "fr"),
        ("DE", "de"),
        ("pt", None),
        ("*", None),
        ("", None),
        (";;q=,,", None),
        ("de;q=x, fr", "fr"),
        ("x" * 5000, None),
        ("de;q=nan, fr;q=0.2", "fr"),
    ],
)
def test_the_header_chooses_the_language(header: str, language: str | None) -> None:
    assert preferred_language(header) == language


@pytest.mark.parametrize(
    ("locale", "language"), [("de-AT", "de"), ("fr", "fr"), ("pt-BR", "en"), (None, "en"), ("en", "en")]
)
def test_a_locale_has_a_language(locale: str | None, language: str) -> None:
    assert language_of(locale) == language
