"""The facts about an uploaded file: a safe name, and a type that is detected from the content, not from the request."""

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

# Unicode categories that must not be in a name: control characters, surrogates, and line and paragraph separators.
_UNPRINTABLE: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
# These characters change the direction of writing. With them a name can hide its real ending.
_DIRECTION_MARKS: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

# Types that no browser runs as a page or a script. All other files, such as SVG and HTML, get the type of plain text or
# of unknown bytes.
_PASSIVE: Final = re.compile(
    r"(image|audio|video|font)/[\w.-]+"
    r"|application/(pdf|zip|gzip|x-gzip|x-7z-compressed|x-bzip2|x-tar|x-xz|zstd|rtf|msword|postscript|vnd\.[\w.-]+)",
    re.ASCII,
)
# A guess with less confidence is based on two bytes or fewer.
_LEAST_CONFIDENCE: Final = 0.3
# puremagic itself gives this confidence to a type that fits both the bytes and the name.
_CONFIDENCE_WITH_SUFFIX: Final = 0.9


@dataclass(frozen=True, slots=True)
class FileFacts:
    """The facts that are stored about a file; `sha256` is in hexadecimal."""

    filename: str
    content_type: str
    size: int
    sha256: str


def clean_name(offered: str) -> str:
    """Return the last part of a path, without invisible characters and cut to 255; it may be empty."""
    base = re.split(r"[/\\]", offered)[-1]
    seen = "".join(
        letter for letter in base if unicodedata.category(letter) not in _UNPRINTABLE and letter not in _DIRECTION_MARKS
    )
    name = seen.strip()[:LONGEST_NAME].rstrip()
    return "" if name in {".", ".."} else name


def inspect(file: BinaryIO, filename: str) -> FileFacts:
    """Read a whole file and return the facts about it."""
    file.seek(0)
    digest, size, is_text = hashlib.sha256(), 0, True
    decoder = codecs.getincrementaldecoder("utf-8")()
    while chunk := file.read(_CHUNK_BYTES):
        digest.update(chunk)
        size += len(chunk)
        is_text = is_text and _continues_text(decoder, chunk)
    is_text = is_text and _continues_text(decoder, b"", final=True)
    content_type = _type_by_magic(file, puremagic.ext_from_filename(filename)) or (PLAIN_TEXT if is_text else UNKNOWN)
    return FileFacts(filename, content_type, size, digest.hexdigest())


def _continues_text(decoder: codecs.IncrementalDecoder, chunk: bytes, *, final: bool = False) -> bool:
    try:
        decoder.decode(chunk, final)
    except UnicodeDecodeError:
        return False
    return b"\0" not in chunk


def _type_by_magic(file: BinaryIO, suffix: str) -> str | None:
    """Return the type that the content shows, if it is a passive one; the suffix only chooses between several types.

    puremagic gets only the bytes. If it is given a name, its second version opens the file of that name on this
    machine, and a name that a client has chosen could be that of any file in the working directory.
    """
    file.seek(0)
    try:
        guesses = puremagic.magic_stream(file)
    except (puremagic.PureError, ValueError):
        return None
    fitting = [guess for guess in guesses if guess.byte_match and _confidence(guess, suffix) >= _LEAST_CONFIDENCE]
    highest = max((_rank(guess, suffix) for guess in fitting), default=None)
    best = {guess.mime_type for guess in fitting if _rank(guess, suffix) == highest}
    passive = [kind for kind in best if _PASSIVE.fullmatch(kind) and not kind.startswith("image/svg")]
    # Several types can match, for example ZIP and a format that is based on ZIP. The general one has the shorter name.
    return min(passive, key=lambda kind: (len(kind), kind), default=None)


def _confidence(guess: puremagic.PureMagicWithConfidence, suffix: str) -> float:
    return _CONFIDENCE_WITH_SUFFIX if suffix and suffix == guess.extension else guess.confidence


def _rank(guess: puremagic.PureMagicWithConfidence, suffix: str) -> tuple[float, int]:
    return _confidence(guess, suffix), len(guess.byte_match)
