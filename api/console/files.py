"""The files of the console, read once for each process and kept in memory, each also compressed.

All files lie below one address that contains the hash of their contents. So a browser may keep each file for ever, and
modules find each other by relative addresses. When any file changes, all addresses change; all files together are
small.
"""

import base64
import gzip
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from posixpath import normpath
from typing import Final

import orjson

from api.console.texts import texts_in
from core.messages import LANGUAGES

ROOT: Final = Path(__file__).parent
PREFIX: Final = "/console"
STYLES: Final = "web/styles.css"
"""The path of all styles of the console in one file."""

_PAGE: Final = "web/index.html"
_WORKER: Final = "web/worker.js"
_CONTENT_TYPES: Final = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
}
# A browser asks for these together with the page, instead of one after the other when it has read the importing module.
_IMPORT: Final = re.compile(r'^(?:import|export)\b[^;]*?\bfrom\s*"(\.[^"]+)"', re.MULTILINE)
_MINIFIED_IMPORT: Final = re.compile(r'\bfrom"(\.[^"]+)"')


@dataclass(frozen=True, slots=True)
class File:
    """A file as it is sent: its bytes, the same compressed by gzip, its media type and the hash of its bytes."""

    content: bytes
    compressed: bytes
    content_type: str
    digest: str

    @classmethod
    def of(cls, content: bytes, content_type: str) -> "File":
        """Compress a file. The time of compression is left out, so that all processes send the same bytes."""
        digest = hashlib.sha256(content).hexdigest()[:32]
        return cls(content, gzip.compress(content, 9, mtime=0), content_type, digest)

    @property
    def integrity(self) -> str:
        """The hash of the bytes in the form in which browsers compare it: `sha256-` and the hash in Base64."""
        return "sha256-" + base64.b64encode(hashlib.sha256(self.content).digest()).decode()


@dataclass(frozen=True, slots=True)
class Console:
    """All files by their paths below the address of this version, and the template of the page."""

    version: str
    files: Mapping[str, File]
    page: str
    modules: tuple[str, ...]
    """The paths of the modules that the page needs at once."""
    worker: str
    """The script of the service worker, without the list of what it keeps."""

    @property
    def base(self) -> str:
        """The address of this version of the files."""
        return f"{PREFIX}/{self.version}"

    def worker_for(self, page: File) -> File:
        """Return the service worker that keeps this page and all files."""
        release = {"page": page.integrity, "base": self.base, "files": list(self.files)}
        script = f"const RELEASE = {orjson.dumps(release).decode()};\n{self.worker}"
        return File.of(script.encode(), _CONTENT_TYPES[".js"])


@cache
def console() -> Console:
    """Read all files of the console."""
    files = {f"texts/{language}.json": _texts_file(language) for language in LANGUAGES}
    for folder in ("web", "vendor"):
        for path in sorted((ROOT / folder).rglob("*")):
            if content_type := _CONTENT_TYPES.get(path.suffix):
                files[path.relative_to(ROOT).as_posix()] = File.of(path.read_bytes(), content_type)
    del files["vendor/packages.json"], files[_WORKER]
    # The first paint waits for the styles, so they are one file.
    styles = [path for path in files if path.startswith("web/styles/")]
    files[STYLES] = File.of(b"".join(files.pop(path).content for path in styles), _CONTENT_TYPES[".css"])
    page, worker = ((ROOT / path).read_text(encoding="utf-8") for path in (_PAGE, _WORKER))
    everything = "".join(f"{path} {file.digest}\n" for path, file in sorted(files.items()))
    version = hashlib.sha256((page + everything).encode()).hexdigest()[:16]
    return Console(version, files, page, _modules_from("web/js/main.js", files), worker)


def _texts_file(language: str) -> File:
    return File.of(orjson.dumps(texts_in(language)), _CONTENT_TYPES[".json"])


def _modules_from(start: str, files: Mapping[str, File]) -> tuple[str, ...]:
    """Return the path of a module and of all modules that it needs. Those that it imports later are not among them."""
    found: dict[str, None] = {}
    waiting = [start]
    while waiting:
        path = waiting.pop(0)
        if path in found:
            continue
        found[path] = None
        pattern = _MINIFIED_IMPORT if path.startswith("vendor/") else _IMPORT
        addresses = pattern.findall(files[path].content.decode())
        waiting += [normpath(f"{path}/../{address}") for address in addresses]
    return tuple(found)
