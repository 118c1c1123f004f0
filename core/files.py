"""What an uploaded file is: its name made harmless, and its type by what is in it, whatever the sender says."""

import codecs
import hashlib
import re
import unicodedata
from dataclasses import dataclass
from typing import BinaryIO, Final

import puremagic

LONGEST_NAME: Final = 255
PLAIN_TEXT: Final = "text/plain; charset=utf-8"
UNKNOWN: Final = "application/octet-stream"

_CHUNK_BYTES: Final = 256 * 1024

# Controls, halves of characters, and what breaks lines; and what turns the direction of writing, behind which the
# end of a name can be hidden.
_UNPRINTABLE: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
_TURNING: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

# Types that no browser takes for a page or a script. Everything else, SVG and HTML among it, is text or just bytes.
_PASSIVE: Final = re.compile(
    r"(image|audio|video|font)/[\w.-]+"
    r"|application/(pdf|zip|gzip|x-gzip|x-7z-compressed|x-bzip2|x-tar|x-xz|zstd|rtf|msword|postscript|vnd\.[\w.-]+)",
    re.ASCII,
)
# Below this, two bytes or fewer have made the guess.
_LEAST_CONFIDENCE: Final = 0.3


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What is kept about a file; `sha256` is written in hexadecimal."""

    filename: str
    content_type: str
    size: int
    sha256: str


def clean_name(offered: str) -> str:
    """The last part of a path, without what cannot be seen, at most 255 characters; empty where nothing is left."""
    base = re.split(r"[/\\]", offered)[-1]
    seen = "".join(
        letter for letter in base if unicodedata.category(letter) not in _UNPRINTABLE and letter not in _TURNING
    )
    name = seen.strip()[:LONGEST_NAME].rstrip()
    return "" if name in {".", ".."} else name


def inspect(file: BinaryIO, filename: str) -> FileFacts:
    """Read a file from its beginning and tell what it is."""
    file.seek(0)
    digest, size, is_text = hashlib.sha256(), 0, True
    decoder = codecs.getincrementaldecoder("utf-8")()
    while chunk := file.read(_CHUNK_BYTES):
        digest.update(chunk)
        size += len(chunk)
        is_text = is_text and _continues_text(decoder, chunk)
    is_text = is_text and _continues_text(decoder, b"", final=True)
    content_type = _type_by_magic(file, filename) or (PLAIN_TEXT if is_text else UNKNOWN)
    return FileFacts(filename, content_type, size, digest.hexdigest())


def _continues_text(decoder: codecs.IncrementalDecoder, chunk: bytes, *, final: bool = False) -> bool:
    try:
        decoder.decode(chunk, final)
    except UnicodeDecodeError:
        return False
    return b"\0" not in chunk


def _type_by_magic(file: BinaryIO, filename: str) -> str | None:
    """The passive type that the content shows, if it is one; the name only chooses among several."""
    file.seek(0)
    try:
        guesses = puremagic.magic_stream(file, filename=filename)
    except (puremagic.PureError, ValueError):
        return None
    fitting = [guess for guess in guesses if guess.byte_match and guess.confidence >= _LEAST_CONFIDENCE]
    best = {guess.mime_type for guess in fitting if _rank(guess) == _rank(fitting[0])}
    passive = [kind for kind in best if _PASSIVE.fullmatch(kind) and not kind.startswith("image/svg")]
    # What others are built upon, such as ZIP, has the shorter name.
    return min(passive, key=lambda kind: (len(kind), kind), default=None)


def _rank(guess: puremagic.PureMagicWithConfidence) -> tuple[float, int]:
    return guess.confidence, len(guess.byte_match)
