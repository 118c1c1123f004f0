"""Texts for people, in five languages.

The code holds each text in English, marked by `msg()`, so that logs and developers read English. It is put into the
reader's language where it leaves: in a problem document, a notification or a mail. The catalogues under
`core/locales` are gettext's; Babel collects the marked texts (`make messages`) and reads the translations.
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
    """An English text that can still be said in other languages."""

    __slots__ = ("parameters", "template")

    template: str
    parameters: dict[str, Any]

    def __new__(cls, template: str, **parameters: Any) -> Self:
        """Fill the `{names}` of a template; without parameters the text is taken as it stands."""
        text = super().__new__(cls, template.format(**parameters) if parameters else template)
        text.template = template
        text.parameters = parameters
        return text


def msg(template: str, **parameters: Any) -> Message:
    """Mark a text for translation; the template has to be a literal, since that is what Babel finds."""
    return Message(template, **parameters)


def translate(text: str, language: str) -> str:
    """Say a text in one of `LANGUAGES`; what is not marked, or not translated, stays as it is."""
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
    """The language, out of `LANGUAGES`, that suits a locale such as `de-AT`."""
    return _best([] if locale is None else [locale]) or SOURCE_LANGUAGE


def preferred_language(accept_language: str) -> str | None:
    """The language that suits an `Accept-Language` header (RFC 9110) best, or None where it names none of ours."""
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
