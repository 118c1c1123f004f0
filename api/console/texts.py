"""The texts of the console: found in its scripts, and translated by the same catalogues as all other texts."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

from core.messages import msg, translate

SCRIPTS: Final = Path(__file__).parent / "web" / "js"

# Babel's own extractor for JavaScript loses its place in nested templates, of which the console consists.
_MARKED: Final = re.compile(r'\bmsg\(\s*("(?:[^"\\\n]|\\.)*")')


def extract(
    fileobj: IO[bytes],
    _keywords: Any = None,
    _comment_tags: Any = None,
    options: Any = None,  # noqa: ARG001 - Babel passes it by its name.
) -> Iterator[tuple[int, str, str, list[str]]]:
    """Yield the texts that a script marks by `msg("…")`, in the form in which Babel asks for them."""
    source = fileobj.read().decode()
    for match in _MARKED.finditer(source):
        yield source.count("\n", 0, match.start()) + 1, "msg", json.loads(match[1]), []


def marked_texts() -> list[str]:
    """Return all texts that the scripts mark, each once."""
    found: dict[str, None] = {}
    for path in sorted(SCRIPTS.rglob("*.js")):
        with path.open("rb") as file:
            found |= dict.fromkeys(text for _, _, text, _ in extract(file))
    return list(found)


def texts_in(language: str) -> list[str]:
    """Return the translation of each marked text, in their order. So the list in English says what each one means."""
    return [translate(msg(text), language) for text in marked_texts()]
