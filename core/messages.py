"""Texts for people, in five languages.

The code contains each text in English, marked by `msg()`, so that logs are in English. A text is translated when it is
put into a problem document, a notification or a mail. The catalogues under `core/locales` have the gettext format;
Babel collects the marked texts (`make messages`) and reads the translations.
"""

from functools import cache
from pathlib import Path
from typing import Any, Final, Self

from babel.core import negotiate_locale
from babel.messages.pofile import read_po

SOURCE_LANGUAGE: Final = "en"
LANGUAGES: Final = (SOURCE_LANGUAGE, "de", "es", "fr", "ru")

DIRECTORY: Final = Path(__file__).parent / "locales"


class Message(str):
    """An English text that can be translated later, since it keeps its template and its parameters."""

    __slots__ = ("parameters", "template")

    template: str
    parameters: dict[str, Any]

    def __new__(cls, template: str, **parameters: Any) -> Self:
        """Fill the `{names}` of a template; without parameters the template is used unchanged."""
        text = super().__new__(cls, template.format(**parameters) if parameters else template)
        text.template = template
        text.parameters = parameters
        return text


def msg(template: str, **parameters: Any) -> Message:
    """Mark a text for translation; the template has to be a literal, since Babel only finds literals."""
    return Message(template, **parameters)


def translate(text: str, language: str) -> str:
    """Translate a text into one of `LANGUAGES`; a text that is not marked or has no translation is not changed."""
    if not isinstance(text, Message) or language == SOURCE_LANGUAGE:
        return text
    template = _catalogue(language).get(text.template, text.template)
    if not text.parameters:
        return template
    parameters = {
        name: translate(value, language) if isinstance(value, str) else value for name, value in text.parameters.items()
    }
    return template.format(**parameters)


def language_of(locale: str | None) -> str:
    """Return the language of `LANGUAGES` that fits a locale such as `de-AT` best."""
    return _best([] if locale is None else [locale]) or SOURCE_LANGUAGE


def preferred_language(accept_language: str) -> str | None:
    """Return the one of `LANGUAGES` that fits an `Accept-Language` header (RFC 9110) best, or None if none fits."""
    ranges: list[tuple[float, str]] = []
    for part in accept_language.split(","):
        tag, _, quality = part.partition(";")
        try:
            weight = float(quality.strip().removeprefix("q=") or 1)
        except ValueError:
            weight = 0.0
        if weight > 0:
            ranges.append((weight, tag.strip().lower()))
    return _best([tag for _, tag in sorted(ranges, key=lambda item: -item[0])])


def _best(tags: list[str]) -> str | None:
    return negotiate_locale(tags, LANGUAGES, sep="-")


@cache
def _catalogue(language: str) -> dict[str, str]:
    with (DIRECTORY / language / "LC_MESSAGES" / "messages.po").open("rb") as file:
        catalogue = read_po(file, locale=language)
    return {str(message.id): str(message.string) for message in catalogue if message.string and not message.fuzzy}
