"""All texts are translated into all languages, and the language of the reader is chosen."""

import string
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from api.console.texts import marked_texts
from core import messages
from core.messages import LANGUAGES, SOURCE_LANGUAGE, Message, language_of, msg, preferred_language, translate

ROOT = Path(__file__).resolve().parents[2]
TRANSLATED = [language for language in LANGUAGES if language != SOURCE_LANGUAGE]


def marked() -> set[str]:
    """Return every text that the code marks for translation."""
    found = (
        extract_from_dir(ROOT / package, [("**.py", "python")], keywords={"msg": None})
        for package in ("api", "core", "worker")
    )
    return {str(text) for package in found for _, _, text, *_ in package} | set(marked_texts())


def catalogue(language: str) -> dict[str, str]:
    with (messages.DIRECTORY / language / "LC_MESSAGES" / "messages.po").open("rb") as file:
        return {str(m.id): str(m.string) for m in read_po(file, locale=language) if m.id and not m.fuzzy}


def placeholders(text: str) -> list[str]:
    return sorted(name for _, name, _, _ in string.Formatter().parse(text) if name)


@pytest.mark.parametrize("language", TRANSLATED)
def test_exactly_the_marked_texts_are_translated(language: str) -> None:
    translated = {text for text, translation in catalogue(language).items() if translation}

    assert sorted(marked() ^ translated) == []


@pytest.mark.parametrize("language", TRANSLATED)
def test_translations_have_the_same_placeholders_and_final_periods(language: str) -> None:
    assert [
        text
        for text, translation in catalogue(language).items()
        if placeholders(text) != placeholders(translation) or text.endswith(".") != translation.endswith(".")
    ] == []


@pytest.mark.parametrize("language", TRANSLATED)
def test_sentences_differ_from_the_english_text(language: str) -> None:
    """A single word may be the same in both languages, but not a longer text."""
    assert [text for text, translation in catalogue(language).items() if text == translation and " " in text] == []


def test_marked_texts_in_parameters_are_translated() -> None:
    text = msg("{one}, or {other}", one=msg("is required"), other="x")

    assert str(text) == "is required, or x"
    assert translate(text, "de") == catalogue("de")["{one}, or {other}"].format(
        one=catalogue("de")["is required"], other="x"
    )


def test_braces_in_parameters_are_not_replaced() -> None:
    text = msg("The task “{title}” is overdue.", title="{secret} {0}")

    assert "{secret} {0}" in translate(text, "fr")
    assert "{secret} {0}" in text


def test_unmarked_and_unknown_texts_are_not_translated() -> None:
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
def test_accept_language_selects_the_language(header: str, language: str | None) -> None:
    assert preferred_language(header) == language


@pytest.mark.parametrize(
    ("locale", "language"), [("de-AT", "de"), ("fr", "fr"), ("pt-BR", "en"), (None, "en"), ("en", "en")]
)
def test_a_locale_has_a_language(locale: str | None, language: str) -> None:
    assert language_of(locale) == language
