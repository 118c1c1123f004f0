"""Texts of users as they stand in mails: of a bounded length, visible, and without links.

A mail comes from the operator's address, so its readers trust it. A user must therefore not be able to put a link into
it, or text that looks like the text of Allweather. Mail programs make links of plain text too, whatever its
`Content-Type` is, so everything that begins or joins a link gets brackets around it: `https[:]//evil[.]example`. People
can still read it, and type it if they trust it.
"""

import re
from typing import Final

from core.names import without_unseen_characters

LONGEST_LINE: Final = 200
_LONGEST_TEXT: Final = 2000
_MOST_LINES: Final = 40
_ELLIPSIS: Final = "…"
_QUOTE: Final = "> "

_LINK_PARTS: Final = re.compile(
    r"""
      # A dot inside a domain, also in the forms that some programs accept as a dot. What follows it is at least two
      # characters long and begins with a letter, so numbers such as 2.5 and abbreviations such as e.g. do not change.
      (?<=[^\s.]) [.\u2024\u3002\uff0e\uff61] (?=[^\W\d_][^\s.,;:!?)])
    | (?<=www) \.
      # The colon after a scheme, such as https:// and mailto:.
    | : (?=//)
    | (?<=[a-z]) : (?=\S)
      # The beginning of the path of a Windows share.
    | \\\\ (?=\w)
    """,
    re.VERBOSE | re.IGNORECASE,
)


def one_line(text: str, length: int = LONGEST_LINE) -> str:
    """Return a text as one line of at most `length` characters, all of them visible."""
    # The characters are removed last, since some of them, such as the line separators, are space for `split()`.
    return _shortened(without_unseen_characters(" ".join(text.split())), length)


def one_line_without_links(text: str, length: int = LONGEST_LINE) -> str:
    """Return a text of a user as one line of which mail programs make no links."""
    return _without_links(one_line(text, length))


def quoted(text: str) -> str:
    """Return what a user has written, which may have several lines, as a quotation without links.

    Every line begins with `> `, so that nobody takes it for the text of Allweather.
    """
    lines = [one_line(line, _LONGEST_TEXT) for line in _shortened(text, _LONGEST_TEXT).splitlines()]
    kept = lines if len(lines) <= _MOST_LINES else [*lines[:_MOST_LINES], _ELLIPSIS]
    return "\n".join((_QUOTE + _without_links(line)).rstrip() for line in kept)


def _without_links(text: str) -> str:
    return _LINK_PARTS.sub(r"[\g<0>]", text)


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1].rstrip() + _ELLIPSIS
